/* Any bytes as records of the status branch: no crash, and what was read is written so that it
 * reads back the same. */
#include "reconcile/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct node *parse(struct arena *arena, const char *text, size_t len)
{
	static const struct node_options options = {.rules = NODE_CORE12};
	const struct node *node;
	struct error err;
	return node_parse_yaml(arena, "record.yaml", text, len, &options, &node, &err) ? node
										       : NULL;
}

static void try_client(struct arena *arena, const struct node *node)
{
	struct client_record record, again;
	auto_buf struct buf text = BUF_INIT(1 << 22);
	auto_buf struct buf second = BUF_INIT(1 << 22);
	struct error err;
	if (!client_record_from_node(node, &record, &err))
		return;
	client_record_to_yaml(&record, &text);
	node = parse(arena, text.text, text.len);
	if (!node || !client_record_from_node(node, &again, &err))
		abort();
	client_record_to_yaml(&again, &second);
	if (strcmp(text.text, second.text) != 0)
		abort();
	client_record_clear(&record);
	client_record_clear(&again);
}

static void try_rollout(struct arena *arena, const struct node *node)
{
	struct rollout_record record, again;
	auto_buf struct buf text = BUF_INIT(1 << 22);
	auto_buf struct buf second = BUF_INIT(1 << 22);
	struct error err;
	if (!rollout_record_from_node(node, &record, &err))
		return;
	rollout_record_to_yaml(&record, &text);
	node = parse(arena, text.text, text.len);
	if (!node || !rollout_record_from_node(node, &again, &err))
		abort();
	rollout_record_to_yaml(&again, &second);
	if (strcmp(text.text, second.text) != 0)
		abort();
	rollout_record_clear(&record);
	rollout_record_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct node *node = parse(arena, (const char *)data, size);
	if (!node)
		return 0;
	try_client(arena, node);
	try_rollout(arena, node);
	return 0;
}
