#include "reconcile/secrets/sops_path.h"
#include "base/buf.h"

static bool malformed(const char *text, struct error *err)
{
	auto_buf struct buf clean = BUF_INIT(400);
	buf_add_clean(&clean, text, strlen(text) < 80 ? strlen(text) : 80);
	error_set(err, ERR_INVALID, "'%s' is no path", clean.text);
	return error_hint(err, "write it like '[\"key\"][\"inner\"][0]'");
}

/* Behind the `[`: a quoted key or a number, and the `]`. */
static bool read_step(const char **at, struct sops_step *step)
{
	char quote = **at;
	const char *start = *at + 1, *end = start;
	if (quote == '"' || quote == '\'') {
		while (*end && !(end[0] == quote && end[1] == ']'))
			end++;
		if (!*end)
			return false;
		*step = (struct sops_step){.key = start, .key_len = (size_t)(end - start)};
		*at = end + 2;
		return true;
	}
	size_t digits = strspn(*at, "0123456789");
	if (!digits || digits > 9 || (*at)[digits] != ']')
		return false;
	*step = (struct sops_step){.index = (size_t)strtoul(*at, NULL, 10)};
	*at += digits + 1;
	return true;
}

bool sops_path_parse(const char *text, struct sops_path *path_out, struct error *err)
{
	const char *at = text;
	path_out->count = 0;
	while (*at) {
		if (path_out->count == SOPS_PATH_MAX || *at++ != '[' ||
			!read_step(&at, &path_out->steps[path_out->count]))
			return malformed(text, err);
		path_out->count++;
	}
	return path_out->count || malformed(text, err);
}

/* Place of the n-th value of a list; its count if there are fewer. */
static size_t place_of(const struct sops_item *list, size_t n)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i]->kind != SOPS_ITEM_COMMENT && n-- == 0)
			return i;
	}
	return list->count;
}

/* Index of a step's item, or the parent's count. */
static size_t find_step(const struct sops_item *parent, const struct sops_step *step)
{
	size_t index = parent->count;
	if (step->key && parent->kind == SOPS_ITEM_MAP)
		(void)sops_item_get(parent, step->key, step->key_len, &index); /* or none */
	else if (!step->key && parent->kind == SOPS_ITEM_LIST)
		index = place_of(parent, step->index);
	return index;
}

static bool not_found(const struct sops_step *step, struct error *err)
{
	auto_buf struct buf key = BUF_INIT(400);
	if (!step->key)
		return error_set(err, ERR_NOT_FOUND, "there is no list item %zu", step->index);
	buf_add_clean(&key, step->key, step->key_len < 80 ? step->key_len : 80);
	return error_set(err, ERR_NOT_FOUND, "there is no key '%s'", key.text);
}

static bool find_parent(struct sops_item *document, const struct sops_path *path, size_t depth,
	struct sops_item **item_out, struct error *err)
{
	struct sops_item *item = document;
	for (size_t i = 0; i < depth; i++) {
		size_t index = find_step(item, &path->steps[i]);
		if (index == item->count)
			return not_found(&path->steps[i], err);
		item = item->items[index];
	}
	*item_out = item;
	return true;
}

bool sops_path_find(struct sops_item *document, const struct sops_path *path,
	struct sops_item **item_out, struct error *err)
{
	return find_parent(document, path, path->count, item_out, err);
}

bool sops_path_unset(struct sops_item *document, const struct sops_path *path, struct error *err)
{
	struct sops_item *parent = NULL;
	const struct sops_step *last = &path->steps[path->count - 1];
	if (!find_parent(document, path, path->count - 1, &parent, err))
		return false;
	size_t index = find_step(parent, last);
	if (index == parent->count)
		return not_found(last, err);
	sops_item_remove(parent, index);
	return true;
}

static struct sops_item *new_container(struct arena *arena, const struct sops_step *step)
{
	return sops_item_new(arena, step->key ? SOPS_ITEM_MAP : SOPS_ITEM_LIST,
		node_new(arena, step->key ? NODE_MAP : NODE_LIST, NULL));
}

static void take_name(struct arena *arena, const struct sops_step *step, struct sops_item *item)
{
	if (step->key)
		sops_item_name(arena, item, step->key, step->key_len);
}

/* What does not fit a step is replaced by a container that does; the root must fit. */
static bool make_fit(
	struct arena *arena, struct sops_item *item, const struct sops_step *step, bool root)
{
	enum sops_item_kind wanted = step->key ? SOPS_ITEM_MAP : SOPS_ITEM_LIST;
	if (item->kind == wanted)
		return true;
	if (root || item->kind != SOPS_ITEM_SCALAR)
		return false;
	struct sops_item *fresh = new_container(arena, step);
	item->kind = fresh->kind;
	item->value = fresh->value;
	item->enc = NULL;
	return true;
}

bool sops_path_set(struct arena *arena, struct sops_item *document, const struct sops_path *path,
	struct sops_item *value, bool *changed_out)
{
	struct sops_item *parent = document;
	*changed_out = true;
	for (size_t i = 0; i < path->count; i++) {
		const struct sops_step *step = &path->steps[i];
		bool last = i + 1 == path->count;
		if (!make_fit(arena, parent, step, i == 0))
			return false;
		size_t index = find_step(parent, step);
		if (index == parent->count || last) {
			struct sops_item *item =
				last ? value : new_container(arena, &path->steps[i + 1]);
			take_name(arena, step, item);
			if (index == parent->count) {
				sops_item_add(arena, parent, item);
			} else {
				*changed_out = !sops_item_equal(parent->items[index], item);
				parent->items[index] = *changed_out ? item : parent->items[index];
			}
		}
		parent = parent->items[index];
	}
	return true;
}
