/* The client of a measurement: raw sockets, one epoll loop, every stream checked as it is read.
 *
 *     load PORT REQUEST FRAMES SIZE STREAMS ROUNDS RAMP_US PATIENCE_US SAMPLE
 *
 * REQUEST is a file with the whole HTTP request. STREAMS connections each ask it ROUNDS times; the connections
 * begin spread over RAMP_US; after PATIENCE_US what has not ended is unfinished. A frame's lag is the time of the
 * read that completed it less its stamp. Checked: status, chunks, the frames of the event stream, each number in
 * its order and once, stamps that never run backwards, filler unharmed, one finish reason, [DONE] and nothing
 * after it. The first whole answer goes to the file SAMPLE as it came, for a slower and stricter judge. Prints
 * "open" when every connection has had a frame, and one JSON object at the end. Times are counted in buckets
 * that are 1/64 of their power of two wide: an error below 1.6 %.
 */
#include "common.h"

enum { FINE = 64, BUCKETS = 64 * FINE, READ = 1 << 18, BODY = 1 << 16, WORDS = 160, KEPT = 1 << 20 };
enum { HEAD, SIZE, DATA, AFTER, LAST };

typedef struct {
    int fd, state, done, finished, heard;
    long rounds, number, left;
    uint64_t asked, stamp, lag_sum, lag_count;
    char *body; /* the head, later the event that is not whole yet */
    size_t size;
} Stream;

static uint64_t lags[BUCKETS], firsts[BUCKETS], lag_most, first_most;
static long frames, size, streams, running, opened, complete, defects, total;
static char first_defect[WORDS], *request, *sample;
static size_t request_size, sample_size;
static int poller, sampling = 1, port;
static Stream *all;

static int bucket(uint64_t ns) {
    if (ns < FINE) return (int)ns;
    int power = 63 - __builtin_clzll(ns);
    return (power - 5) * FINE + (int)((ns >> (power - 6)) & (FINE - 1));
}

static uint64_t floor_of(int index) {
    if (index < FINE) return (uint64_t)index;
    int power = index / FINE + 5;
    return ((uint64_t)FINE + (uint64_t)(index % FINE)) << (power - 6);
}

static void count(uint64_t *where, uint64_t *most, uint64_t ns) {
    where[bucket(ns)]++;
    if (ns > *most) *most = ns;
}

static void leave(Stream *s) {
    close(s->fd);
    s->fd = -1;
    running--;
}

static int defect(Stream *s, const char *words, const char *data, size_t length) {
    if (!defects++) snprintf(first_defect, WORDS, "%s: %.*s", words, (int)(length < 60 ? length : 60), data);
    leave(s);
    return 0;
}

static void ask(Stream *s) {
    s->state = HEAD;
    s->done = s->finished = 0;
    s->number = 0;
    s->size = 0;
    s->stamp = 0;
    s->rounds--;
    s->asked = now_ns();
    if (send(s->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size)
        defect(s, "the request was not taken", "", 0);
}

/* One event of the stream, without its empty line. */

static int number_at(const char *at, int digits, uint64_t *value) {
    for (*value = 0; digits--; at++) {
        if (*at < '0' || *at > '9') return 0;
        *value = *value * 10 + (uint64_t)(*at - '0');
    }
    return 1;
}

static int piece(Stream *s, const char *text, const char *end, uint64_t now) {
    uint64_t stamp, number;
    if (end - text < size + 1 || text[size] != '"' || text[1 + STAMP_DIGITS] != '-'
        || !number_at(text + 1, STAMP_DIGITS, &stamp)
        || !number_at(text + 2 + STAMP_DIGITS, NUMBER_DIGITS, &number))
        return defect(s, "text that was never sent", text, (size_t)(end - text));
    for (long i = 2 + STAMP_DIGITS + NUMBER_DIGITS; i < size; i++)
        if (text[i] != '.') return defect(s, "text that was changed", text, (size_t)(end - text));
    if (s->finished || (long)number != s->number)
        return defect(s, "a frame out of order", text, (size_t)(end - text));
    if (stamp < s->stamp || stamp > now) return defect(s, "a stamp runs backwards", text, (size_t)(end - text));
    s->stamp = stamp;
    if (!s->number++) {
        count(firsts, &first_most, now - s->asked);
        if (!s->heard) {
            s->heard = 1;
            if (++opened == streams) {
                printf("open\n");
                fflush(stdout);
            }
        }
    }
    count(lags, &lag_most, now - stamp);
    s->lag_sum += now - stamp;
    s->lag_count++;
    total++;
    return 1;
}

static int event(Stream *s, char *at, size_t length, uint64_t now) {
    if (length && at[0] == ':') return 1; /* a comment keeps the connection alive */
    if (s->done || length < 7 || memcmp(at, "data: ", 6) || memchr(at, '\n', length))
        return defect(s, "a frame that does not belong", at, length);
    if (length == 12 && !memcmp(at, "data: [DONE]", 12)) {
        s->done = 1;
        return 1;
    }
    if (at[6] != '{' || at[length - 1] != '}') return defect(s, "not JSON", at, length);
    if (memmem(at, length, "\"error\":", 8)) return defect(s, "an error", at, length);
    char *text = memmem(at, length, "\"content\":\"", 11);
    if (text && text[11] != '"' && !piece(s, text + 11, at + length, now)) return 0;
    if (memmem(at, length, "\"finish_reason\":\"", 17)) {
        if (s->finished) return defect(s, "two finish reasons", at, length);
        s->finished = 1;
    }
    return 1;
}

static int body(Stream *s, const char *data, size_t length, uint64_t now) {
    if (s->size + length > BODY) return defect(s, "an event without an end", data, length);
    memcpy(s->body + s->size, data, length);
    s->size += length;
    char *at = s->body, *stop = s->body + s->size, *end;
    while ((end = memmem(at, (size_t)(stop - at), "\n\n", 2))) {
        if (!event(s, at, (size_t)(end - at), now)) return 0;
        at = end + 2;
    }
    s->size = (size_t)(stop - at);
    memmove(s->body, at, s->size);
    return 1;
}

/* HTTP. */

static int line_end(Stream *s, const char *data, size_t length, size_t *used, const char *mark) {
    for (*used = 0; *used < length;) {
        if (s->size >= 8192) return -1;
        s->body[s->size++] = data[(*used)++];
        size_t n = strlen(mark);
        if (s->size >= n && !memcmp(s->body + s->size - n, mark, n)) return 1;
    }
    return 0;
}

static int ended(Stream *s) {
    if (s->number != frames) return defect(s, "frames are missing", "", 0);
    if (!s->finished || !s->done) return defect(s, s->done ? "no finish reason" : "no [DONE]", "", 0);
    if (s->size) return defect(s, "half a frame", s->body, s->size);
    complete++;
    if (s == all) sampling = 0;
    if (s->rounds) ask(s);
    else leave(s);
    return 0;
}

static int head_whole(Stream *s) {
    s->body[s->size] = 0;
    if (strncmp(s->body, "HTTP/1.1 200 ", 13)) return defect(s, "refused", s->body, s->size);
    if (!strcasestr(s->body, "\r\ntransfer-encoding: chunked")) return defect(s, "no chunks", s->body, s->size);
    return 1;
}

static int chunk_size(Stream *s, const char *data, size_t length, size_t *used) {
    static const char hex[] = "0123456789abcdef";
    for (*used = 0; *used < length;) {
        char c = data[(*used)++];
        if (c == '\n') {
            s->state = s->left ? DATA : LAST;
            return 1;
        }
        const char *digit = c == '\r' ? NULL : memchr(hex, c | 0x20, 16);
        if (c != '\r' && !digit) return defect(s, "a chunk without a size", data, length);
        if (digit) s->left = s->left * 16 + (digit - hex);
        if (s->left > READ * 16) return defect(s, "a chunk too large", data, length);
    }
    return 1;
}

static int take(Stream *s, const char *data, size_t length, uint64_t now) {
    while (length) {
        size_t used = 0;
        if (s->state == HEAD) {
            int found = line_end(s, data, length, &used, "\r\n\r\n");
            if (found < 0) return defect(s, "a head too long", data, length);
            if (found) {
                if (!head_whole(s)) return 0;
                s->size = 0;
                s->left = 0;
                s->state = SIZE;
            }
        } else if (s->state == SIZE) {
            if (!chunk_size(s, data, length, &used)) return 0;
            if (s->state == LAST) s->left = 2;
        } else if (s->state == DATA) {
            used = (size_t)s->left < length ? (size_t)s->left : length;
            if (used > BODY / 2) used = BODY / 2;
            s->left -= (long)used;
            if (!body(s, data, used, now)) return 0;
            if (!s->left) {
                s->state = AFTER;
                s->left = 2;
            }
        } else { /* the line end after a chunk, or after the last */
            used = 1;
            if (data[0] != (s->left == 2 ? '\r' : '\n')) return defect(s, "a chunk of the wrong size", data, length);
            if (!--s->left) {
                if (s->state == LAST)
                    return length > 1 ? defect(s, "bytes after the end", data + 1, length - 1) : ended(s);
                s->state = SIZE;
            }
        }
        data += used;
        length -= used;
    }
    return 1;
}

static void hear(Stream *s) {
    static char data[READ];
    ssize_t n = recv(s->fd, data, READ, 0);
    uint64_t now = now_ns();
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        defect(s, "closed", "", 0);
        return;
    }
    if (s == all && sampling && sample_size + (size_t)n <= KEPT) {
        memcpy(sample + sample_size, data, (size_t)n);
        sample_size += (size_t)n;
    }
    take(s, data, (size_t)n, now);
}

static void start(Stream *s) {
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(s->fd, (struct sockaddr *)&at, sizeof at)) {
        defect(s, "no connection", strerror(errno), strlen(strerror(errno)));
        return;
    }
    no_delay(s->fd);
    fcntl(s->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {EPOLLIN, {.ptr = s}};
    epoll_ctl(poller, EPOLL_CTL_ADD, s->fd, &event);
    ask(s);
}

static void tell_buckets(const char *name, const uint64_t *where) {
    printf(",\"%s\":[", name);
    const char *comma = "";
    for (int i = 0; i < BUCKETS; i++)
        if (where[i]) {
            printf("%s[%llu,%llu]", comma, (unsigned long long)floor_of(i), (unsigned long long)where[i]);
            comma = ",";
        }
    printf("]");
}

static void tell(double wall) {
    double least = 0, most = 0;
    long unfinished = 0;
    for (Stream *s = all; s < all + streams; s++) {
        unfinished += s->fd >= 0;
        if (!s->lag_count) continue;
        double mean = (double)s->lag_sum / (double)s->lag_count;
        if (!least || mean < least) least = mean;
        if (mean > most) most = mean;
    }
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec)
                 + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("{\"complete\":%ld,\"unfinished\":%ld,\"defects\":%ld,\"frames\":%ld,\"wall_s\":%.6f,\"cpu_s\":%.6f,"
           "\"least_lag_ns\":%.0f,\"most_lag_ns\":%.0f,\"lag_max_ns\":%llu,\"first_max_ns\":%llu,\"defect\":\"",
           complete, unfinished, defects, total, wall, cpu, least, most, (unsigned long long)lag_most,
           (unsigned long long)first_most);
    for (char *c = first_defect; *c; c++)
        if (*c >= ' ' && *c != '"' && *c != '\\' && *c < 127) putchar(*c);
        else printf("\\u%04x", (unsigned char)*c);
    putchar('"');
    tell_buckets("lags", lags);
    tell_buckets("firsts", firsts);
    printf("}\n");
}

int main(int given, char **words) {
    if (given != 10) die("usage: load PORT REQUEST FRAMES SIZE STREAMS ROUNDS RAMP_US PATIENCE_US SAMPLE");
    many_files();
    port = atoi(words[1]);
    request = read_file(words[2], &request_size);
    frames = atol(words[3]);
    size = atol(words[4]);
    running = streams = atol(words[5]);
    uint64_t ramp = (uint64_t)atol(words[7]) * 1000, patience = (uint64_t)atol(words[8]) * 1000;
    if (frames < 1 || streams < 1 || size < 2 + STAMP_DIGITS + NUMBER_DIGITS) die("an impossible plan");
    sample = need(malloc(KEPT));
    all = need(calloc((size_t)streams, sizeof *all));
    for (long i = 0; i < streams; i++) {
        all[i].rounds = atol(words[6]);
        all[i].fd = -1;
        all[i].body = need(malloc(BODY + 1));
    }
    poller = epoll_create1(0);
    struct epoll_event events[TURN];
    uint64_t began = now_ns(), now;
    for (long started = 0; running && (now = now_ns()) < began + patience;) {
        uint64_t due = started < streams ? began + ramp / (uint64_t)streams * (uint64_t)started : began + patience;
        if (started < streams && due <= now) {
            start(all + started++);
            continue;
        }
        struct timespec wait = {(time_t)((due - now) / 1000000000u), (long)((due - now) % 1000000000u)};
        int ready = epoll_pwait2(poller, events, TURN, &wait, NULL);
        for (int i = 0; i < ready; i++) hear(events[i].data.ptr);
    }
    tell((double)(now_ns() - began) / 1e9);
    if (!sampling) {
        FILE *file = fopen(words[9], "wb");
        if (!file || fwrite(sample, 1, sample_size, file) != sample_size || fclose(file)) die("cannot write the sample");
    }
    return 0;
}
