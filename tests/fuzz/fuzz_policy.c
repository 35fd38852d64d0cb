/* Any bytes as fleet.yaml: a policy, or problems that say why not. */
#include "reconcile/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_problems struct problems problems = {0};
	struct policy *policy = NULL;
	bool good = policy_parse((const char *)data, size, arena, &policy, &problems);
	if (good != !problems.errors || (good && !policy))
		abort();
	return 0;
}
