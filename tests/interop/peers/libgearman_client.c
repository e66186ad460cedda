/* The client of the interoperability tests, with libgearman: libgearman_client HOST PORT JOB...
 * How a JOB is written and what is printed is told in __init__.py beside this file. */
#define _POSIX_C_SOURCE 200809L
#include <libgearman/gearman.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A task's context is the number of its job. */
static void event(gearman_task_st *task, const char *name)
{
  printf("%ld %s", (long)gearman_task_context(task), name);
}

static void event_with_data(gearman_task_st *task, const char *name)
{
  static const char digits[] = "0123456789abcdef";
  const unsigned char *data = gearman_task_data(task);
  event(task, name);
  putchar(' ');
  for (size_t i = 0; i < gearman_task_data_size(task); i++)
  {
    putchar(digits[data[i] >> 4]);
    putchar(digits[data[i] & 15]);
  }
  putchar('\n');
  fflush(stdout);
}

static gearman_return_t created(gearman_task_st *task)
{
  event(task, "created");
  printf(" %s\n", gearman_task_job_handle(task));
  fflush(stdout);
  return GEARMAN_SUCCESS;
}

static gearman_return_t status(gearman_task_st *task)
{
  event(task, "status");
  printf(" %u %u\n", gearman_task_numerator(task), gearman_task_denominator(task));
  fflush(stdout);
  return GEARMAN_SUCCESS;
}

static gearman_return_t fail(gearman_task_st *task)
{
  event(task, "fail\n");
  fflush(stdout);
  return GEARMAN_SUCCESS;
}

static gearman_return_t data(gearman_task_st *task)
{
  event_with_data(task, "data");
  return GEARMAN_SUCCESS;
}

static gearman_return_t warning(gearman_task_st *task)
{
  event_with_data(task, "warning");
  return GEARMAN_SUCCESS;
}

static gearman_return_t exception(gearman_task_st *task)
{
  event_with_data(task, "exception");
  return GEARMAN_SUCCESS;
}

static gearman_return_t complete(gearman_task_st *task)
{
  event_with_data(task, "complete");
  return GEARMAN_SUCCESS;
}

static char *contents(const char *path, size_t *size)
{
  FILE *file = fopen(path, "rb");
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  char *text = malloc(*size + 1);
  *size = fread(text, 1, *size, file);
  fclose(file);
  return *size > 0 ? text : NULL; /* the library takes an empty workload as NULL alone */
}

/* Submit a background job and tell its status, whenever it changes, until the server forgets it. */
static void poll_status(gearman_client_st *client, long number, const char *function, const char *workload,
                        size_t size)
{
  gearman_job_handle_t handle;
  if (gearman_failed(gearman_client_do_background(client, function, NULL, workload, size, handle)))
  {
    return;
  }
  printf("%ld created %s\n", number, handle);
  bool known = true, running = false;
  char last[64] = "";
  while (known)
  {
    uint32_t numerator = 0, denominator = 0;
    char line[64];
    if (gearman_failed(gearman_client_job_status(client, handle, &known, &running, &numerator, &denominator)))
    {
      return;
    }
    snprintf(line, sizeof line, "%d %d %u %u", known, running, numerator, denominator);
    if (strcmp(line, last) != 0)
    {
      printf("%ld polled %s\n", number, strcpy(last, line));
      fflush(stdout);
    }
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
  }
}

typedef gearman_task_st *add_fn(gearman_client_st *, gearman_task_st *, void *, const char *, const char *,
                                const void *, size_t, gearman_return_t *);

int main(int argc, char *argv[])
{
  static const struct
  {
    const char *mode;
    add_fn *add;
  } modes[] = {{"foreground", gearman_client_add_task},
               {"high", gearman_client_add_task_high},
               {"low", gearman_client_add_task_low},
               {"background", gearman_client_add_task_background},
               {"high-background", gearman_client_add_task_high_background},
               {"low-background", gearman_client_add_task_low_background}};

  gearman_client_st *client = gearman_client_create(NULL);
  gearman_client_add_server(client, argv[1], (in_port_t)atoi(argv[2]));
  gearman_client_set_server_option(client, "exceptions", strlen("exceptions"));
  gearman_client_set_created_fn(client, created);
  gearman_client_set_status_fn(client, status);
  gearman_client_set_data_fn(client, data);
  gearman_client_set_warning_fn(client, warning);
  gearman_client_set_exception_fn(client, exception);
  gearman_client_set_fail_fn(client, fail);
  gearman_client_set_complete_fn(client, complete);

  for (int i = 3; i + 3 < argc; i += 4)
  {
    long number = (i - 3) / 4;
    const char *function = argv[i + 1], *unique = argv[i + 2][0] ? argv[i + 2] : NULL;
    size_t size;
    char *workload = contents(argv[i + 3], &size); /* has to live as long as its task */
    if (strcmp(argv[i], "poll") == 0)
    {
      poll_status(client, number, function, workload, size);
    }
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++)
    {
      gearman_return_t ret = GEARMAN_SUCCESS;
      if (strcmp(argv[i], modes[m].mode) == 0)
      {
        modes[m].add(client, NULL, (void *)number, function, unique, workload, size, &ret);
      }
      if (gearman_failed(ret))
      {
        return 1;
      }
    }
  }
  gearman_return_t ret = gearman_client_run_tasks(client);
  if (gearman_failed(ret))
  {
    fprintf(stderr, "%s\n", gearman_client_error(client));
  }
  gearman_client_free(client);
  return gearman_failed(ret);
}
