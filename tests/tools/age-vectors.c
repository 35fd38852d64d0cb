/* age-vectors DIR: run DIR/cctv, DIR/made and DIR/identities.json, where they exist */
#include "tests/lib/age_vectors.h"
#include <sodium.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static const char *const folders[] = {"cctv", "made"};
	struct tally tally = {0};
	if (argc != 2 || sodium_init() < 0) {
		fprintf(stderr, "usage: age-vectors DIR\n");
		return 2;
	}
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		auto_free char *folder = mem_printf("%s/%s", argv[1], folders[i]);
		age_vectors_run(folder, &tally);
	}
	auto_free char *identities = mem_printf("%s/identities.json", argv[1]);
	if (access(identities, R_OK) == 0)
		age_identities_run(identities, &tally);
	tally_print(&tally);
	return tally.failed || !tally.passed;
}
