/* Any text as a file of settings that is looked at for passwords, and as the command in EDITOR. */
#include "reconcile/secret_scan.h"
#include "server/cli/editor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_problems struct problems problems = {0};
	auto_strlist struct strlist argv = STRLIST_INIT;
	auto_free char *exact = mem_alloc(size); /* without a NUL: reading past it is seen */
	auto_free char *command = mem_dup(data, size);
	struct error err;
	if (size)
		memcpy(exact, data, size);
	secret_scan("any.env", exact, size, &problems);
	for (size_t i = 0; i < problems.count; i++)
		if (!problems.items[i].line)
			abort();
	if (editor_split(command, &argv, &err) && !argv.count)
		abort();
	return 0;
}
