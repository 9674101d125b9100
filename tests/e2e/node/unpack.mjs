// Unpacks the browser into the directory for temporary files.

import chromium from '@sparticuz/chromium';

await chromium.executablePath();
