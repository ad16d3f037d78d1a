/* Shared by the test programs: socket addresses of IPv4 and IPv6. */
#include <arpa/inet.h>
#include <netinet/in.h>

static struct sockaddr_in v4(const char *addr, int port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
	inet_pton(AF_INET, addr, &sa.sin_addr);
	return sa;
}

static struct sockaddr_in6 v6(const char *addr, int port)
{
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	inet_pton(AF_INET6, addr, &sa.sin6_addr);
	return sa;
}
