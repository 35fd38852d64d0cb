/* Any bytes as JSON: what is accepted, written and read again is the same value. */
#include "base/buf.h"
#include "base/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_buf struct buf json = BUF_INIT(SIZE_MAX / 2);
	struct error err;
	const struct node *node, *again;
	if (!node_parse_json(arena, "input", (const char *)data, size, &node, &err))
		return 0;
	node_to_json(node, 0, false, &json);
	if (!node_parse_json(arena, "output", json.text, json.len, &again, &err) ||
		!node_equal(node, again))
		abort();
	return 0;
}
