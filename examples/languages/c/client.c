/* A client that has a text reversed.
 *
 *     GEARMAN_SERVERS=host:port ./client TEXT
 */
#include <libgearman/gearman.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char *argv[])
{
  const char *servers = getenv("GEARMAN_SERVERS");
  const char *text = argc > 1 ? argv[1] : "Hello";

  gearman_client_st *client = gearman_client_create(NULL);
  gearman_client_add_servers(client, servers ? servers : "127.0.0.1:4730");

  size_t size = strlen(text);
  const char *workload = size > 0 ? text : NULL; /* the library takes an empty workload as NULL alone */
  size_t result_size = 0;
  gearman_return_t ret;
  char *result =
      gearman_client_do(client, "reverse", NULL /* no unique */, workload, size, &result_size, &ret);

  if (gearman_success(ret))
  {
    printf("%.*s\n", (int)result_size, result ? result : ""); /* results are not terminated by a NUL */
  }
  else
  {
    fprintf(stderr, "client: %s\n", gearman_client_error(client));
  }
  free(result);
  gearman_client_free(client);
  return gearman_success(ret) ? EXIT_SUCCESS : EXIT_FAILURE;
}
