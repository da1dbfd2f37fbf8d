/* The least that a consumer in C does: takes and acknowledges, as `osnl-bench raw` does with lapin.
 *
 *   consume PORT VHOST QUEUE COUNT
 *
 * Prints `FIRST LAST`, when the first and the last of COUNT messages were there, in nanoseconds since the
 * epoch of Unix; then waits until its standard input ends, so that what it has used can be read. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <amqp.h>
#include <amqp_tcp_socket.h>

enum { PREFETCH = 200, EVERY = 50 };

static unsigned long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (unsigned long long)t.tv_sec * 1000000000ULL + (unsigned long long)t.tv_nsec;
}

static void check(int good, const char *what) {
    if (good) return;
    fprintf(stderr, "consume: %s failed\n", what);
    exit(1);
}

static int normal(amqp_connection_state_t connection) {
    return amqp_get_rpc_reply(connection).reply_type == AMQP_RESPONSE_NORMAL;
}

int main(int argc, char **argv) {
    check(argc == 5, "reading PORT VHOST QUEUE COUNT");
    unsigned long long count = strtoull(argv[4], NULL, 10), first = 0;
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    check(socket && amqp_socket_open(socket, "127.0.0.1", atoi(argv[1])) == AMQP_STATUS_OK, "connect");
    amqp_rpc_reply_t login =
        amqp_login(connection, argv[2], 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
    check(login.reply_type == AMQP_RESPONSE_NORMAL, "login");
    amqp_channel_open(connection, 1);
    check(normal(connection), "channel.open");
    amqp_basic_qos(connection, 1, 0, PREFETCH, 0);
    check(normal(connection), "basic.qos");
    amqp_basic_consume(connection, 1, amqp_cstring_bytes(argv[3]), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    check(normal(connection), "basic.consume");
    for (unsigned long long n = 1; n <= count; n++) {
        amqp_envelope_t envelope;
        amqp_maybe_release_buffers(connection);
        check(amqp_consume_message(connection, &envelope, NULL, 0).reply_type == AMQP_RESPONSE_NORMAL, "consume");
        if (n == 1) first = now();
        if (n % EVERY == 0 || n == count) {
            check(amqp_basic_ack(connection, 1, envelope.delivery_tag, 1) == AMQP_STATUS_OK, "basic.ack");
        }
        amqp_destroy_envelope(&envelope);
    }
    printf("%llu %llu\n", first, now());
    fflush(stdout);
    while (getchar() != EOF) {}
    return 0;
}
