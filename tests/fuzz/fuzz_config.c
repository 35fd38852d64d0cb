/* Any bytes as aviary.yaml: a configuration, or problems that say why not. */
#include "server/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_problems struct problems problems = {0};
	struct config *config = NULL;
	struct config_source source = {
		.file = "/etc/aviary.yaml", .bytes = (const char *)data, .len = size};
	bool good = config_parse(&source, arena, &config, &problems);
	if (good != !problems.errors || good != (config != NULL))
		abort();
	return 0;
}
