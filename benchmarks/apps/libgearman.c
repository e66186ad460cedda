/* A C client and worker of libgearman: `libgearman worker PORT`, `libgearman client PORT COUNT [BYTES]`. */
#include <libgearman/gearman.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static gearman_return_t noop(gearman_job_st *job, void *context) {
    (void)job, (void)context;
    return GEARMAN_SUCCESS;
}

static void run(gearman_client_st *client, long count, const char *workload, size_t bytes) {
    for (long number = 0; number < count; number++) {
        size_t size;
        gearman_return_t result;
        free(gearman_client_do(client, "noop", NULL, workload, bytes, &size, &result));
        if (result != GEARMAN_SUCCESS) exit(1);
    }
}

int main(int count, char **words) {
    if (count < 3) return 2;
    int port = atoi(words[2]);
    if (!strcmp(words[1], "worker")) {
        gearman_worker_st *worker = gearman_worker_create(NULL);
        gearman_worker_add_server(worker, "127.0.0.1", port);
        gearman_worker_define_function(worker, "noop", 4, gearman_function_create(noop), 0, NULL);
        while (gearman_worker_work(worker) == GEARMAN_SUCCESS) {}
        return 1;
    }
    gearman_client_st *client = gearman_client_create(NULL);
    gearman_client_add_server(client, "127.0.0.1", port);
    struct timespec start, end;
    size_t bytes = count > 4 ? (size_t)atol(words[4]) : 0;
    // An empty workload has to be NULL.
    char *workload = bytes ? calloc(bytes, 1) : NULL;
    if (bytes && !workload) return 1;
    run(client, 1, NULL, 0);
    clock_gettime(CLOCK_MONOTONIC, &start);
    run(client, atol(words[3]), workload, bytes);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.9f\n", (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
    return 0;
}
