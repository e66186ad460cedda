/* A worker that reverses texts.
 *
 *     GEARMAN_SERVERS=host:port ./worker [JOBS]
 *
 * It ends after JOBS jobs, or never when the number is left out.
 */
#include <libgearman/gearman.h>
#include <stdio.h>
#include <stdlib.h>

/* The library sends what we return as the job's result and then calls free() on it. */
static void *reverse(gearman_job_st *job, void *context, size_t *result_size, gearman_return_t *ret)
{
  (void)context;
  const char *workload = gearman_job_workload(job);
  size_t size = gearman_job_workload_size(job);

  char *result = malloc(size + 1); /* an empty workload is a workload, too */
  if (result == NULL)
  {
    *ret = GEARMAN_WORK_FAIL;
    return NULL;
  }
  for (size_t i = 0; i < size; i++)
  {
    result[i] = workload[size - 1 - i];
  }
  *result_size = size;
  *ret = GEARMAN_SUCCESS;
  return result;
}

int main(int argc, char *argv[])
{
  const char *servers = getenv("GEARMAN_SERVERS");
  long jobs = argc > 1 ? atol(argv[1]) : -1;

  gearman_worker_st *worker = gearman_worker_create(NULL);
  gearman_worker_add_servers(worker, servers ? servers : "127.0.0.1:4730");
  gearman_worker_add_function(worker, "reverse", 0 /* no time-out */, reverse, NULL);

  gearman_return_t ret = GEARMAN_SUCCESS;
  while (jobs-- != 0 && gearman_success(ret))
  {
    ret = gearman_worker_work(worker); /* waits for one job and does it */
  }
  if (gearman_failed(ret))
  {
    fprintf(stderr, "worker: %s\n", gearman_worker_error(worker));
  }
  gearman_worker_free(worker);
  return gearman_success(ret) ? EXIT_SUCCESS : EXIT_FAILURE;
}
