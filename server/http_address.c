#include "server/http_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/util.h>

#include "server/log.h"

#define UNIX_WORD   "unix:"
#define LOCALHOST   "localhost"
#define LOOPBACK_V4 "127.0.0.1"
#define HOST_LEN    64
#define BACKLOG     64

/* ---- Reading --------------------------------------------------------------
 */

static int
path_parse(
    const char *path, struct http_address *address, char *reason, size_t len)
{
	struct sockaddr_un *to = (struct sockaddr_un *)&address->storage;
	if (*path != '/') {
		snprintf(reason, len,
		    "http: '%.60s' is no absolute path; write unix:/PATH",
		    path);
		return SHM_EINVAL;
	}
	if (strlen(path) >= sizeof to->sun_path) {
		snprintf(reason, len,
		    "http: the path is longer than the %zu characters of a "
		    "socket's name",
		    sizeof to->sun_path - 1);
		return SHM_EINVAL;
	}
	to->sun_family = AF_UNIX;
	strcpy(to->sun_path, path);
	address->len = sizeof *to;
	return 0;
}

static bool
v4_is_loopback(const struct in_addr *address)
{
	return ntohl(address->s_addr) >> 24 == 127;
}

static bool
is_loopback(const struct sockaddr_storage *storage)
{
	if (storage->ss_family == AF_INET)
		return v4_is_loopback(
		    &((const struct sockaddr_in *)storage)->sin_addr);
	return IN6_IS_ADDR_LOOPBACK(
	    &((const struct sockaddr_in6 *)storage)->sin6_addr);
}

/* "localhost:80" as "127.0.0.1:80"; anything else as it is. */
static void
name_resolve(const char *text, char *buf, size_t len)
{
	size_t name = strlen(LOCALHOST);
	if (strncasecmp(text, LOCALHOST ":", name + 1) == 0)
		snprintf(buf, len, "%s%s", LOOPBACK_V4, text + name);
	else
		snprintf(buf, len, "%s", text);
}

/* The colon before the port, or NULL. */
static char *
port_find(char *text)
{
	char *bracket = strrchr(text, ']');
	return strchr(bracket != NULL ? bracket : text, ':');
}

static int
tcp_parse(
    const char *text, struct http_address *address, char *reason, size_t len)
{
	char numeric[HOST_LEN];
	int size = sizeof address->storage;
	name_resolve(text, numeric, sizeof numeric);
	char *port = port_find(numeric);
	/* libevent has no port 0, but takes none for it. */
	if (port != NULL && strcmp(port, ":0") == 0)
		*port = '\0';
	if (port == NULL || strchr(port + 1, ':') != NULL ||
	    evutil_parse_sockaddr_port(
		numeric, (struct sockaddr *)&address->storage, &size) != 0) {
		snprintf(reason, len,
		    "http: '%.60s' is no address; write 127.0.0.1:PORT, "
		    "[::1]:PORT, unix:/PATH or off",
		    text);
		return SHM_EINVAL;
	}
	if (!is_loopback(&address->storage)) {
		snprintf(reason, len,
		    "http: %.60s can be reached from other machines, and there "
		    "is no access control; use 127.0.0.1:PORT, [::1]:PORT or "
		    "unix:/PATH, behind a proxy that has some",
		    text);
		return SHM_EINVAL;
	}
	address->len = (socklen_t)size;
	return 0;
}

int
http_address_parse(const char *text, struct http_address *ret_address,
    char *reason, size_t len)
{
	struct http_address address = { .len = 0 };
	int error = 0;
	if (text == NULL || *text == '\0' || strcmp(text, "off") == 0) {
		*ret_address = address;
		return 0;
	}
	if (strncmp(text, UNIX_WORD, strlen(UNIX_WORD)) == 0)
		error =
		    path_parse(text + strlen(UNIX_WORD), &address, reason, len);
	else
		error = tcp_parse(text, &address, reason, len);
	if (error == 0)
		*ret_address = address;
	return error;
}

/* ---- Writing --------------------------------------------------------------
 */

const char *
http_address_path(const struct http_address *address)
{
	const struct sockaddr_un *from =
	    (const struct sockaddr_un *)&address->storage;
	return address->len > 0 && from->sun_family == AF_UNIX ? from->sun_path
							       : NULL;
}

void
http_address_format(
    const struct http_address *address, char text[HTTP_ADDRESS_LEN])
{
	const struct sockaddr_storage *storage = &address->storage;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)storage;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)storage;
	char host[INET6_ADDRSTRLEN] = "?";
	if (address->len == 0) {
		snprintf(text, HTTP_ADDRESS_LEN, "off");
	} else if (storage->ss_family == AF_UNIX) {
		snprintf(text, HTTP_ADDRESS_LEN, UNIX_WORD "%s",
		    http_address_path(address));
	} else if (storage->ss_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
		snprintf(
		    text, HTTP_ADDRESS_LEN, "%s:%u", host, ntohs(v4->sin_port));
	} else {
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
		snprintf(text, HTTP_ADDRESS_LEN, "[%s]:%u", host,
		    ntohs(v6->sin6_port));
	}
}

/* ---- Sockets ---------------------------------------------------------------
 */

int
http_address_of(int fd, struct http_address *ret_address)
{
	struct http_address address = { .len = sizeof address.storage };
	if (getsockname(
		fd, (struct sockaddr *)&address.storage, &address.len) != 0 ||
	    address.len == 0)
		return SHM_ESYSTEM;
	*ret_address = address;
	return 0;
}

static bool
is_listening(int fd)
{
	int is_listening = 0;
	socklen_t len = sizeof is_listening;
	return fd >= 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len) ==
	    0 &&
	    is_listening != 0;
}

static in_port_t
port_of(const struct http_address *address)
{
	return address->storage.ss_family == AF_INET
	    ? ((const struct sockaddr_in *)&address->storage)->sin_port
	    : ((const struct sockaddr_in6 *)&address->storage)->sin6_port;
}

bool
http_address_is_bound(const struct http_address *address, int fd)
{
	struct http_address bound;
	const char *path = http_address_path(address);
	struct stat st;
	if (address->len == 0 || !is_listening(fd) ||
	    http_address_of(fd, &bound) != 0 ||
	    bound.storage.ss_family != address->storage.ss_family)
		return false;
	if (path != NULL)
		return strcmp(path, http_address_path(&bound)) == 0 &&
		    lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
	return evutil_sockaddr_cmp((const struct sockaddr *)&address->storage,
		   (const struct sockaddr *)&bound.storage, 0) == 0 &&
	    (port_of(address) == 0 || port_of(address) == port_of(&bound));
}

/* Whether nobody listens at ADDRESS's file, which is a socket. */
static bool
is_stale(const struct http_address *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool is_refused = fd >= 0 &&
	    connect(fd, (const struct sockaddr *)&address->storage,
		address->len) != 0 &&
	    errno == ECONNREFUSED;
	if (fd >= 0)
		close(fd);
	return is_refused;
}

static int
path_clear(const struct http_address *address)
{
	const char *path = http_address_path(address);
	struct stat st;
	if (path == NULL || lstat(path, &st) != 0)
		return 0;
	if (S_ISSOCK(st.st_mode) && is_stale(address) && unlink(path) == 0)
		return 0;
	log_error("http: %s is there, and is no socket that a daemon left; "
		  "remove it or choose another path",
	    path);
	return SHM_EEXIST;
}

int
http_address_access(
    const struct http_address *address, mode_t mode, gid_t group)
{
	const char *path = http_address_path(address);
	if (path == NULL)
		return 0;
	gid_t wanted = group == (gid_t)-1 ? getegid() : group;
	return chmod(path, 0) == 0 && chown(path, (uid_t)-1, wanted) == 0 &&
		chmod(path, mode) == 0
	    ? 0
	    : SHM_ESYSTEM;
}

/* Nobody's before its group and mode are right, as the other sockets. */
static int
address_bind(
    const struct http_address *address, int fd, mode_t mode, gid_t group)
{
	int yes = 1;
	if (http_address_path(address) == NULL)
		(void)setsockopt(
		    fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	mode_t umask_before = umask(0777);
	int r =
	    bind(fd, (const struct sockaddr *)&address->storage, address->len);
	umask(umask_before);
	if (r != 0 || http_address_access(address, mode, group) != 0)
		return SHM_ESYSTEM;
	return listen(fd, BACKLOG);
}

int
http_address_listen(
    const struct http_address *address, mode_t mode, gid_t group, int *ret_fd)
{
	char text[HTTP_ADDRESS_LEN];
	int error = path_clear(address);
	if (error != 0)
		return error;
	int fd = socket(address->storage.ss_family,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && address_bind(address, fd, mode, group) == 0) {
		*ret_fd = fd;
		return 0;
	}
	http_address_format(address, text);
	log_error("http: cannot listen on %s: %s", text, strerror(errno));
	if (fd >= 0)
		close(fd);
	return SHM_ESYSTEM;
}

/* ---- Hosts -----------------------------------------------------------------
 */

/* Copy HOST without its brackets and port into BUF; false: it is none. */
static bool
host_split(const char *host, char buf[HOST_LEN])
{
	bool is_v6 = *host == '[';
	const char *name = host + is_v6;
	size_t len = strcspn(name, is_v6 ? "]" : ":");
	const char *rest = name + len;
	if (len == 0 || len >= HOST_LEN || (is_v6 && *rest++ != ']'))
		return false;
	if (*rest == ':')
		rest += 1 + strspn(rest + 1, "0123456789");
	memcpy(buf, name, len);
	buf[len] = '\0';
	return *rest == '\0';
}

bool
http_address_is_local_host(const char *host)
{
	char name[HOST_LEN];
	struct in_addr v4;
	struct in6_addr v6;
	if (!host_split(host, name))
		return false;
	if (inet_pton(AF_INET, name, &v4) == 1)
		return v4_is_loopback(&v4);
	if (inet_pton(AF_INET6, name, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6);
	return strcasecmp(name, LOCALHOST) == 0;
}
