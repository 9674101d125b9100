/* The upstream of a measurement: plays the frames it is given, at the pace each request asks for.
 *
 *     standin SIZE { PATH CONTENT_TYPE OPENING TOKEN CLOSING PLACE FORM } ...
 *
 * OPENING, TOKEN and CLOSING are files with the bytes of the dialect that is asked for at PATH, and at every path
 * below it if it ends with a slash; the text of TOKEN begins at PLACE and is SIZE bytes long: T, a stamp of 19
 * digits, a hyphen, a number of 7 digits, filler. With the FORM "plain" it stands there as it is; with "sealed" it
 * stands there in base64, and the last four bytes of TOKEN are the CRC-32 of all before them. This program writes
 * the stamp, the number and the seal and knows nothing else about any dialect. The request's body says the plan in words
 * (see bench/plan.py). A paced stream keeps its schedule; what cannot be written waits, and nothing new is
 * stamped meanwhile. Prints its port, then a line for each stream whose reader left early: "gone NAME NS".
 * Ends when its standard input does.
 */
#include "common.h"

enum { REQUEST = 1 << 16, MOST_FDS = 1 << 16, MOST_BATCH = 64, OF_DIALECT = 7, MOST_DIALECTS = 16 };

typedef struct {
    const char *path;
    char *head, *closing, *frame;
    char *text; /* of a sealed frame */
    size_t head_size, closing_size, frame_size, place, seal;
    uint32_t before; /* the checksum of all that stands before the text */
} Dialect;

typedef struct {
    int fd;
    const Dialect *dialect;
    char *request;
    size_t got;
    int streaming, closing_sent, wants_out, heap_place; /* heap_place 0: not scheduled */
    long frames, sent, pace_us, batch, name;
    uint64_t began, due;
    char *rest; /* what the socket did not take */
    size_t rest_size, rest_done;
} Stream;

static Dialect dialects[MOST_DIALECTS];
static int known;
static long text_size;
static int poller;
static Stream *streams[MOST_FDS];
static Stream *heap[MOST_FDS + 1];
static int scheduled;

/* The schedule: a heap by time. */

static void put(int at, Stream *stream) {
    heap[at] = stream;
    stream->heap_place = at;
}

static void sift(int at) {
    Stream *stream = heap[at];
    for (; at > 1 && heap[at / 2]->due > stream->due; at /= 2) put(at, heap[at / 2]);
    for (int child; (child = at * 2) <= scheduled; at = child) {
        if (child < scheduled && heap[child + 1]->due < heap[child]->due) child++;
        if (heap[child]->due >= stream->due) break;
        put(at, heap[child]);
    }
    put(at, stream);
}

static void schedule(Stream *stream, uint64_t due) {
    stream->due = due;
    if (!stream->heap_place) put(++scheduled, stream);
    sift(stream->heap_place);
}

static void unschedule(Stream *stream) {
    int at = stream->heap_place;
    if (!at) return;
    stream->heap_place = 0;
    Stream *last = heap[scheduled--];
    if (last != stream) {
        put(at, last);
        sift(at);
    }
}

/* Writing. */

static void watch(Stream *stream, int out) {
    if (stream->wants_out == out) return;
    stream->wants_out = out;
    struct epoll_event event = {EPOLLIN | (out ? EPOLLOUT : 0), {.fd = stream->fd}};
    epoll_ctl(poller, EPOLL_CTL_MOD, stream->fd, &event);
}

static void keep(Stream *stream, const char *data, size_t size) {
    stream->rest = need(realloc(stream->rest, stream->rest_size + size));
    memcpy(stream->rest + stream->rest_size, data, size);
    stream->rest_size += size;
}

static void send_now(Stream *stream, const char *data, size_t size) {
    ssize_t n = 0;
    if (!stream->rest_size) n = send(stream->fd, data, size, MSG_NOSIGNAL);
    if (n < 0) n = errno == EAGAIN ? 0 : (ssize_t)size; /* a broken connection shows itself when it is read */
    if ((size_t)n < size) {
        keep(stream, data + n, size - (size_t)n);
        watch(stream, 1);
    }
}

static void digits(char *at, uint64_t value, int count) {
    for (at += count; count--; value /= 10) *--at = (char)('0' + value % 10);
}

/* Sealing. */

static uint32_t remainders[256];

static void know_remainders(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t left = byte;
        for (int bit = 0; bit < 8; bit++) left = left & 1 ? left >> 1 ^ 0xEDB88320u : left >> 1;
        remainders[byte] = left;
    }
}

static uint32_t crc32(uint32_t sum, const char *data, size_t size) {
    for (sum = ~sum; size--;) sum = sum >> 8 ^ remainders[(sum ^ (unsigned char)*data++) & 255];
    return ~sum;
}

static void base64(char *to, const char *from, long size) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (; size > 0; size -= 3, from += 3, to += 4) {
        unsigned second = size > 1 ? (unsigned char)from[1] : 0, third = size > 2 ? (unsigned char)from[2] : 0;
        unsigned all = (unsigned)(unsigned char)from[0] << 16 | second << 8 | third;
        to[0] = letters[all >> 18];
        to[1] = letters[all >> 12 & 63];
        to[2] = size > 1 ? letters[all >> 6 & 63] : '=';
        to[3] = size > 2 ? letters[all & 63] : '=';
    }
}

static void stamp(char *text, uint64_t now, long number) {
    digits(text + 1, now, STAMP_DIGITS);
    digits(text + 2 + STAMP_DIGITS, (uint64_t)number, NUMBER_DIGITS);
}

static void stamp_sealed(const Dialect *dialect, char *frame, uint64_t now, long number) {
    stamp(dialect->text, now, number);
    base64(frame + dialect->place, dialect->text, text_size);
    uint32_t sum = crc32(dialect->before, frame + dialect->place, dialect->seal - dialect->place);
    for (int at = 0; at < 4; at++) frame[dialect->seal + (size_t)at] = (char)(sum >> (24 - 8 * at));
}

static void send_frames(Stream *stream, long count) {
    static char many[MOST_BATCH * 4096];
    const Dialect *dialect = stream->dialect;
    uint64_t now = now_ns();
    for (long i = 0; i < count; i++) {
        char *one = many + (size_t)i * dialect->frame_size;
        memcpy(one, dialect->frame, dialect->frame_size);
        if (dialect->text)
            stamp_sealed(dialect, one, now, stream->sent++);
        else
            stamp(one + dialect->place, now, stream->sent++);
    }
    send_now(stream, many, (size_t)count * dialect->frame_size);
}

static void finish(Stream *stream) {
    unschedule(stream);
    stream->streaming = 0;
    send_now(stream, stream->dialect->closing, stream->dialect->closing_size);
    if (!stream->rest_size) watch(stream, 0);
}

static void advance(Stream *stream, uint64_t now) {
    if (!stream->streaming || stream->rest_size) return;
    if (!stream->pace_us) {
        long left = stream->frames - stream->sent;
        send_frames(stream, left < stream->batch ? left : stream->batch);
        watch(stream, 1);
    } else {
        uint64_t every = (uint64_t)stream->pace_us * 1000;
        while (!stream->rest_size && stream->sent < stream->frames
               && stream->began + (uint64_t)stream->sent * every <= now)
            send_frames(stream, 1);
        if (stream->sent < stream->frames) schedule(stream, stream->began + (uint64_t)stream->sent * every);
    }
    if (stream->sent == stream->frames) finish(stream);
}

static void flush_rest(Stream *stream) {
    while (stream->rest_done < stream->rest_size) {
        ssize_t n = send(stream->fd, stream->rest + stream->rest_done, stream->rest_size - stream->rest_done,
                         MSG_NOSIGNAL);
        if (n <= 0) return;
        stream->rest_done += (size_t)n;
    }
    stream->rest_size = stream->rest_done = 0;
    if (!stream->streaming || stream->pace_us) watch(stream, 0);
}

/* Reading. */

static void drop(Stream *stream) {
    if (stream->streaming) {
        printf("gone %ld %llu\n", stream->name, (unsigned long long)now_ns());
        fflush(stdout);
    }
    unschedule(stream);
    close(stream->fd);
    streams[stream->fd] = NULL;
    free(stream->request);
    free(stream->rest);
    free(stream);
}

static long word(const char *body, const char *name, long otherwise) {
    const char *found = strstr(body, name);
    return found ? atol(found + strlen(name)) : otherwise;
}

static void refuse(Stream *stream) {
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    send_now(stream, answer, sizeof answer - 1);
}

static const Dialect *asked_for(const char *line) {
    const char *asked = strchr(line, ' ');
    for (const Dialect *dialect = dialects; asked && dialect < dialects + known; dialect++) {
        size_t length = strlen(dialect->path);
        int below = length && dialect->path[length - 1] == '/';
        if (!strncmp(asked + 1, dialect->path, length) && (below || asked[1 + length] == ' ')) return dialect;
    }
    return NULL;
}

static void begin(Stream *stream, const char *body) {
    stream->dialect = asked_for(stream->request);
    stream->frames = word(body, "frames=", 0);
    stream->pace_us = word(body, " pace=", 0);
    stream->batch = word(body, " batch=", 1);
    stream->name = word(body, " name=", 0);
    stream->sent = 0;
    if (!stream->dialect || stream->frames < 1 || stream->batch < 1 || stream->batch > MOST_BATCH
        || word(body, " size=", 0) != text_size) {
        refuse(stream);
        return;
    }
    stream->streaming = 1;
    send_now(stream, stream->dialect->head, stream->dialect->head_size);
    stream->began = now_ns();
    advance(stream, stream->began);
}

static int whole(const char *request, size_t got, char **body) {
    char *end = memmem(request, got, "\r\n\r\n", 4);
    if (!end) return 0;
    *body = end + 4;
    size_t have = got - (size_t)(*body - request);
    char *length = strcasestr(request, "\r\ncontent-length:");
    if (length && length < end) return have >= (size_t)atol(length + 17);
    char *chunked = strcasestr(request, "\r\ntransfer-encoding: chunked");
    if (chunked && chunked < end) return have >= 5 && !memcmp(request + got - 5, "0\r\n\r\n", 5);
    return 1;
}

static void hear(Stream *stream) {
    ssize_t n = recv(stream->fd, stream->request + stream->got, REQUEST - 1 - stream->got, 0);
    if (n <= 0 && (n == 0 || errno != EAGAIN)) {
        drop(stream);
        return;
    }
    if (n < 0) return;
    stream->got += (size_t)n;
    stream->request[stream->got] = 0;
    char *body;
    if (whole(stream->request, stream->got, &body)) {
        begin(stream, body);
        stream->got = 0;
    } else if (stream->got == REQUEST - 1) {
        drop(stream);
    }
}

static void welcome(int door) {
    for (int fd; (fd = accept4(door, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        if (fd >= MOST_FDS) die("too many connections");
        no_delay(fd);
        Stream *stream = streams[fd] = need(calloc(1, sizeof *stream));
        stream->fd = fd;
        stream->request = need(malloc(REQUEST));
        struct epoll_event event = {EPOLLIN, {.fd = fd}};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

static int open_door(void) {
    int door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    if (bind(door, (struct sockaddr *)&at, size) || listen(door, 4096)) die("cannot listen");
    getsockname(door, (struct sockaddr *)&at, &size);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    return door;
}

static Dialect prepared(char **given) {
    size_t opening_size, token_size, end_size;
    char *opening = read_file(given[2], &opening_size), *token = read_file(given[3], &token_size);
    char *end = read_file(given[4], &end_size);
    Dialect made = {.path = given[0]};
    made.head = need(malloc(opening_size + 512));
    made.head_size = (size_t)sprintf(made.head, "HTTP/1.1 200 OK\r\nContent-Type: %.200s\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n",
                                     given[1], opening_size);
    memcpy(made.head + made.head_size, opening, opening_size);
    memcpy(made.head + made.head_size + opening_size, "\r\n", 2);
    made.head_size += opening_size + 2;
    made.frame = need(malloc(token_size + 32));
    size_t prefix = (size_t)sprintf(made.frame, "%zx\r\n", token_size);
    memcpy(made.frame + prefix, token, token_size);
    memcpy(made.frame + prefix + token_size, "\r\n", 2);
    made.frame_size = prefix + token_size + 2;
    made.place = prefix + (size_t)atol(given[5]);
    if (made.frame_size > 4096) die("a frame must not be longer than 4 KiB");
    if (!strcmp(given[6], "sealed")) {
        made.text = need(malloc((size_t)text_size));
        memset(made.text, '.', (size_t)text_size);
        made.text[0] = 'T';
        made.text[1 + STAMP_DIGITS] = '-';
        made.seal = prefix + token_size - 4;
        made.before = crc32(0, made.frame + prefix, made.place - prefix);
    }
    made.closing = need(malloc(end_size + 64));
    made.closing_size = (size_t)sprintf(made.closing, "%zx\r\n", end_size);
    memcpy(made.closing + made.closing_size, end, end_size);
    memcpy(made.closing + made.closing_size + end_size, "\r\n0\r\n\r\n", 7);
    made.closing_size += end_size + 7;
    return made;
}

int main(int count, char **given) {
    if (count < 2 + OF_DIALECT || (count - 2) % OF_DIALECT || count > 2 + OF_DIALECT * MOST_DIALECTS)
        die("usage: standin SIZE { PATH CONTENT_TYPE OPENING TOKEN CLOSING PLACE FORM } ...");
    many_files();
    know_remainders();
    text_size = atol(given[1]);
    for (int at = 2; at < count; at += OF_DIALECT) dialects[known++] = prepared(given + at);
    poller = epoll_create1(0);
    int door = open_door();
    struct epoll_event event = {EPOLLIN, {.fd = door}}, events[TURN];
    epoll_ctl(poller, EPOLL_CTL_ADD, door, &event);
    event.data.fd = STDIN_FILENO;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &event)) die("standard input must be a pipe");
    struct timespec wait;
    for (;;) {
        uint64_t now = now_ns();
        while (scheduled && heap[1]->due <= now) {
            Stream *stream = heap[1];
            unschedule(stream);
            advance(stream, now); /* comes back to the schedule, or waits for its socket */
        }
        uint64_t left = scheduled ? (heap[1]->due > (now = now_ns()) ? heap[1]->due - now : 0) : 1000000000u;
        wait = (struct timespec){(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
        int ready = epoll_pwait2(poller, events, TURN, &wait, NULL);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == STDIN_FILENO) return 0;
            if (fd == door) {
                welcome(door);
                continue;
            }
            Stream *stream = streams[fd];
            if (events[i].events & EPOLLOUT) {
                if (stream->rest_size) flush_rest(stream);
                advance(stream, now_ns());
            }
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) hear(stream);
        }
    }
}
