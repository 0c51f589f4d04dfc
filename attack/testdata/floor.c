// The least that an open loop costs on this machine: it waits until a hit is due, writes it, waits for the answer and reads
// it, and does nothing else. What attack takes above this is its own.
//
//	cc -O2 -o floor attack/testdata/floor.c && taskset -c 0 ./floor PORT RATE SECONDS   # of 127.0.0.1, /prod/products
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { connections = 64 };

static long nanoseconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static int opened(int epoll, int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) {
		perror("connect");
		exit(1);
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
	return fd;
}

int main(int argc, char **argv)
{
	if (argc != 4 || atol(argv[2]) < 1) {
		fprintf(stderr, "usage: floor PORT RATE SECONDS\n");
		return 2;
	}
	long step = 1000000000L / atol(argv[2]), hits = atol(argv[2]) * atol(argv[3]), sent = 0, got = 0;
	int epoll = epoll_create1(0), idle[connections], n = 0;
	while (n < connections)
		idle[n++] = opened(epoll, atoi(argv[1]));
	const char *request = "GET /prod/products HTTP/1.1\r\nHost: localhost\r\nUser-Agent: floor\r\n\r\n";
	static char answer[65536];
	long begin = nanoseconds(CLOCK_MONOTONIC);
	while (got < hits) {
		long now = nanoseconds(CLOCK_MONOTONIC), wait = 1000000000L;
		for (; sent < hits && n > 0 && begin + sent * step <= now; sent++)
			if (write(idle[--n], request, strlen(request)) < 0) {
				perror("write");
				return 1;
			}
		if (sent < hits && n > 0)
			wait = begin + sent * step - nanoseconds(CLOCK_MONOTONIC);
		if (wait < 0)
			wait = 0;
		struct timespec t = {.tv_sec = wait / 1000000000L, .tv_nsec = wait % 1000000000L};
		struct epoll_event events[connections];
		int ready = epoll_pwait2(epoll, events, connections, &t, NULL);
		for (int i = 0; i < ready; i++) {
			ssize_t size = read(events[i].data.fd, answer, sizeof answer);
			if (size == 0) {
				fprintf(stderr, "closed by the target\n");
				return 1;
			}
			if (size > 0) {
				idle[n++] = events[i].data.fd;
				got++;
			}
		}
	}
	printf("%ld hits, %.1f us of CPU time each\n", got, nanoseconds(CLOCK_PROCESS_CPUTIME_ID) / 1e3 / got);
	return 0;
}
