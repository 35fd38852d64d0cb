/* Events of a rollout, as a clone of the status branch may hold them: any bytes replay or are
 * refused, and what replays tells the same twice. */
#include "reconcile/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct replay_input input = {
		.file = "events", .text = (const char *)data, .len = size};
	auto_replay struct replay first = {0};
	auto_replay struct replay second = {0};
	struct error err = {0};
	if (size > (1 << 16) || !replay_run(&input, NULL, &first, &err))
		return 0;
	if (!replay_run(&input, NULL, &second, &err) || first.decisions != second.decisions ||
		first.different != second.different)
		abort();
	return 0;
}
