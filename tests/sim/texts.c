/* Records as the files of the status branch. Most runs do without: the linker puts these in place
 * of the writers (--wrap), since texts take longer than everything else. */
#include "base/node.h"
#include "tests/sim/sim.h"

void __real_client_record_to_yaml(const struct client_record *record, struct buf *out);
void __real_rollout_record_to_yaml(const struct rollout_record *record, struct buf *out);
void __wrap_client_record_to_yaml(const struct client_record *record, struct buf *out);
void __wrap_rollout_record_to_yaml(const struct rollout_record *record, struct buf *out);

static bool texts_wanted;

void texts_want(bool wanted)
{
	texts_wanted = wanted;
}

void __wrap_client_record_to_yaml(const struct client_record *record, struct buf *out)
{
	if (texts_wanted)
		__real_client_record_to_yaml(record, out);
}

void __wrap_rollout_record_to_yaml(const struct rollout_record *record, struct buf *out)
{
	if (texts_wanted)
		__real_rollout_record_to_yaml(record, out);
}

static void read_file(struct world *world, const struct fact_file *file)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct node_options options = {.rules = NODE_CORE12};
	const struct node *node = NULL;
	struct client_record client = {0};
	struct rollout_record rollout = {0};
	struct error err = {0};
	bool is_client = !strncmp(file->path, "clients/", 8);
	bool is_rollout = !strncmp(file->path, "rollouts/", 9);
	if (!file->text || !(is_client || is_rollout))
		return;
	bool read =
		node_parse_yaml(arena, file->path, file->text, file->len, &options, &node, &err);
	if (read && is_client)
		read = client_record_from_node(node, &client, &err);
	else if (read)
		read = rollout_record_from_node(node, &rollout, &err);
	demand(world, read, "promise 6, crash-safe: %s does not read back: %s", file->path,
		err.message);
	if (read && is_client)
		status_put_client(world->branch, &client);
	else if (read)
		status_put_rollout(world->branch, &rollout);
	client_record_clear(&client);
	rollout_record_clear(&rollout);
}

void texts_read(struct world *world, const struct fact *fact)
{
	for (size_t i = 0; i < fact->file_count; i++)
		read_file(world, &fact->files[i]);
}
