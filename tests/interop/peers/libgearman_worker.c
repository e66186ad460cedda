/* The worker of the interoperability tests, with libgearman: libgearman_worker HOST PORT PREFIX
 * What each function does is written in __init__.py beside this file. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <libgearman/gearman.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ARGUMENTS gearman_job_st *job, void *context, size_t *size, gearman_return_t *ret

static void *answer(size_t *size, const char *text)
{
  *size = strlen(text);
  return strdup(text);
}

static void *copy_of_workload(gearman_job_st *job, size_t *size)
{
  *size = gearman_job_workload_size(job);
  char *copy = calloc(*size + 1, 1);
  if (*size > 0)
  {
    memcpy(copy, gearman_job_workload(job), *size);
  }
  return copy;
}

static void *reverse(ARGUMENTS)
{
  (void)context, (void)ret;
  char *text = copy_of_workload(job, size);
  for (size_t i = 0; i < *size / 2; i++)
  {
    char swapped = text[i];
    text[i] = text[*size - 1 - i];
    text[*size - 1 - i] = swapped;
  }
  return text;
}

static void *fail(ARGUMENTS)
{
  (void)job, (void)context, (void)size;
  *ret = GEARMAN_WORK_FAIL;
  return NULL;
}

static void *raise_exception(ARGUMENTS)
{
  (void)context, (void)ret;
  gearman_job_send_exception(job, gearman_job_workload(job), gearman_job_workload_size(job));
  *size = 0; /* the job is over: nothing more is sent for it */
  return NULL;
}

static void *chunks(ARGUMENTS)
{
  (void)context, (void)ret;
  char *text = copy_of_workload(job, size);
  for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
  {
    gearman_job_send_data(job, line, (size_t)(end + 1 - line));
  }
  free(text);
  return answer(size, "done");
}

static void *warn(ARGUMENTS)
{
  (void)context, (void)ret;
  gearman_job_send_warning(job, gearman_job_workload(job), gearman_job_workload_size(job));
  return answer(size, "done");
}

/* Note the name in PATH.log, then wait until PATH.open is there. */
static void pass_gate(gearman_job_st *job)
{
  char path[1024], file[1100], name[64];
  char *text = copy_of_workload(job, &(size_t){0});
  if (sscanf(text, "%1023s %63s", path, name) == 2)
  {
    snprintf(file, sizeof file, "%s.log", path);
    FILE *log = fopen(file, "a");
    fprintf(log, "%s\n", name);
    fclose(log);
    snprintf(file, sizeof file, "%s.open", path);
    for (int tries = 0; access(file, F_OK) != 0 && tries < 4000; tries++)
    {
      nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
  }
  free(text);
}

static void *gate(ARGUMENTS)
{
  (void)context, (void)ret;
  pass_gate(job);
  return answer(size, "done");
}

static void *progress(ARGUMENTS)
{
  (void)context, (void)ret;
  gearman_job_send_status(job, 1, 2);
  pass_gate(job);
  gearman_job_send_status(job, 2, 2);
  return answer(size, "done");
}

static void *die(ARGUMENTS)
{
  (void)context, (void)ret;
  char *path = copy_of_workload(job, size);
  int created = open(path, O_CREAT | O_EXCL, 0600);
  free(path);
  if (created >= 0)
  {
    raise(SIGKILL);
  }
  return answer(size, "survived");
}

int main(int argc, char *argv[])
{
  static const struct
  {
    const char *name;
    gearman_worker_fn *function;
  } functions[] = {{"reverse", reverse}, {"fail", fail}, {"raise", raise_exception}, {"chunks", chunks},
                   {"warn", warn},       {"gate", gate}, {"progress", progress},     {"die", die}};

  if (argc != 4)
  {
    return 2;
  }
  gearman_worker_st *worker = gearman_worker_create(NULL);
  gearman_worker_add_server(worker, argv[1], (in_port_t)atoi(argv[2]));
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
  {
    char name[256];
    snprintf(name, sizeof name, "%s%s", argv[3], functions[i].name);
    gearman_worker_add_function(worker, name, 0, functions[i].function, NULL);
  }
  gearman_return_t ret;
  do
  {
    ret = gearman_worker_work(worker);
  } while (gearman_success(ret) || ret == GEARMAN_WORK_FAIL); /* it hands on what the function said */
  fprintf(stderr, "%s: %s\n", gearman_strerror(ret), gearman_worker_error(worker));
  return 1;
}
