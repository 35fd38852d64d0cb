/* Nodes and comments become items: keys and lists find their comments by their place, so that what
 * an alias repeats has them again. */
#include "reconcile/secrets/sops_comments_parts.h"

#define NONE SOPS_COMMENT_NONE

struct merger {
	struct arena *arena;
	const struct sops_comments *comments;
	struct error *err;
};

static bool merge(struct merger *merger, const struct node *node, struct sops_item **item_out);

/* Marks and runs stand in the order of their places. */
static bool is_before(size_t line, size_t column, const struct node *node)
{
	return line + 1 < node->line || (line + 1 == node->line && column + 1 < node->column);
}

static const struct sops_hook *find_key(const struct merger *merger, const struct node *key)
{
	const struct sops_comments *comments = merger->comments;
	size_t low = 0, high = comments ? comments->mark_count : 0;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct sops_mark *mark = &comments->marks[middle];
		if (is_before(mark->line, mark->column, key))
			low = middle + 1;
		else
			high = middle;
	}
	if (!comments || !key || low == comments->mark_count)
		return NULL;
	const struct sops_mark *mark = &comments->marks[low];
	return mark->line + 1 == key->line && mark->column + 1 == key->column ? &mark->hook : NULL;
}

static const struct sops_run *find_run(const struct merger *merger, const struct node *node)
{
	const struct sops_comments *comments = merger->comments;
	size_t low = 0, high = comments ? comments->run_count : 0;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct sops_run *run = &comments->runs[middle];
		if (is_before(run->line, run->column, node))
			low = middle + 1;
		else
			high = middle;
	}
	for (; comments && low < comments->run_count; low++) {
		const struct sops_run *run = &comments->runs[low];
		if (run->line + 1 != node->line || run->column + 1 != node->column)
			return NULL;
		if (run->list == (node->kind == NODE_LIST))
			return run;
	}
	return NULL;
}

static bool is_after(const struct sops_comment *comment)
{
	return comment->place == SOPS_COMMENT_AFTER;
}

/* Adds the comments of a hook: those before and beside, or those after. A comment can only be
 * beside a scalar. */
static void add_comments(struct merger *merger, const struct sops_hook *hook, bool after,
	bool scalar, struct sops_item *to)
{
	for (size_t i = hook ? hook->first : NONE; i != NONE;) {
		const struct sops_comment *comment = &merger->comments->comments[i];
		i = comment->next;
		if (is_after(comment) != after)
			continue;
		struct sops_item *item =
			sops_item_comment(merger->arena, to->value, comment->text, comment->len);
		item->beside = scalar && comment->place == SOPS_COMMENT_BESIDE;
		sops_item_add(merger->arena, to, item);
	}
}

static bool merge_entry(
	struct merger *merger, const struct node_entry *entry, struct sops_item *map)
{
	struct sops_item *item;
	const struct node *key = entry->key_node;
	const struct sops_hook *hook = key ? find_key(merger, key) : NULL;
	if (key && key->kind != NODE_STRING && strcmp(entry->key, "<<") != 0)
		return node_error(merger->err, key, "key is no text: put it in quotes");
	if (!merge(merger, entry->value, &item))
		return false;
	item->key = entry->key;
	item->key_len = entry->key_len;
	item->key_node = key;
	add_comments(merger, hook, false, item->kind == SOPS_ITEM_SCALAR, map);
	sops_item_add(merger->arena, map, item);
	add_comments(merger, hook, true, false, map);
	return true;
}

static bool merge_list(struct merger *merger, const struct node *node, struct sops_item *list)
{
	const struct sops_run *run = find_run(merger, node);
	add_comments(merger, run ? &run->hook : NULL, false, false, list);
	for (size_t i = 0; i < node->count; i++) {
		struct sops_item *item;
		const struct sops_hook *hook = NULL;
		if (run && i < run->count)
			hook = &merger->comments->marks[run->marks[i]].hook;
		if (!merge(merger, node->items[i], &item))
			return false;
		add_comments(merger, hook, false, item->kind == SOPS_ITEM_SCALAR, list);
		sops_item_add(merger->arena, list, item);
		add_comments(merger, hook, true, false, list);
	}
	return true;
}

static bool merge_map(struct merger *merger, const struct node *node, struct sops_item *map)
{
	const struct sops_run *run = find_run(merger, node);
	add_comments(merger, run ? &run->hook : NULL, false, false, map);
	for (size_t i = 0; i < node->count; i++) {
		if (!merge_entry(merger, &node->map[i], map))
			return false;
	}
	return true;
}

static bool merge(struct merger *merger, const struct node *node, struct sops_item **item_out)
{
	*item_out = sops_item_of_scalar(merger->arena, node);
	switch ((*item_out)->kind) {
	case SOPS_ITEM_MAP:
		return merge_map(merger, node, *item_out);
	case SOPS_ITEM_LIST:
		return merge_list(merger, node, *item_out);
	default:
		return true;
	}
}

bool sops_comments_merge(struct arena *arena, const struct sops_comments *comments,
	const struct node *document, size_t index, struct sops_item **item_out, struct error *err)
{
	struct merger merger = {arena, comments, err};
	struct sops_item *item;
	if (document->kind == NODE_NULL)
		item = sops_item_new(arena, SOPS_ITEM_MAP, document);
	else if (document->kind != NODE_MAP)
		return node_error(err, document, "document is no map but a %s",
			node_kind_name(document->kind));
	else if (!merge(&merger, document, &item))
		return false;
	if (comments && index < comments->document_count) {
		add_comments(&merger, &comments->documents[index], false, false, item);
		add_comments(&merger, &comments->documents[index], true, false, item);
	}
	*item_out = item;
	return true;
}
