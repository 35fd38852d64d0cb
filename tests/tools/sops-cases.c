/* sops-cases DIR: run the cases of DIR/cases.json and DIR/creation-rules.json */
#include "tests/lib/sops_cases.h"
#include <sodium.h>

int main(int argc, char **argv)
{
	struct tally tally = {0};
	if (argc != 2 || sodium_init() < 0) {
		fprintf(stderr, "usage: sops-cases DIR\n");
		return 2;
	}
	sops_cases_run(argv[1], &tally);
	sops_rules_run(argv[1], &tally);
	tally_print(&tally);
	return tally.failed || !tally.passed;
}
