/* Any bytes as YAML under each of the rules: no crash, bounded work, and JSON of what was read. */
#include "base/buf.h"
#include "base/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum node_rules rules[] = {NODE_CORE12, NODE_ANSIBLE11, NODE_SOPS};
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
		auto_buf struct buf json = BUF_INIT(1 << 20);
		struct error err;
		const struct node *node;
		struct node_options options = {.rules = rules[i],
			.allow_duplicate_keys = rules[i] == NODE_ANSIBLE11,
			.many_documents = rules[i] == NODE_SOPS};
		if (!node_parse_yaml(
			    arena, "input", (const char *)data, size, &options, &node, &err))
			continue;
		node_to_json(node, 4, true, &json);
		if (!node_equal(node, node))
			abort();
	}
	return 0;
}
