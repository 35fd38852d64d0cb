#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("aviary %s\n", AVIARY_VERSION);
		return 0;
	}
	fprintf(stderr, "usage: aviary --version\n");
	return 2;
}
