#include "reconcile/step_playbook.h"
#include "base/buf.h"

#define TEXT_MAX  ((size_t)16 << 20)
#define DEPTH_MAX 64

/* ---- YAML in one line ----------------------------------------------------------------------- */

/* JSON, but for characters that YAML takes only as escapes (YAML 1.1 section 4.1.1): there are none
 * outside of its strings. */
static void add_json_as_yaml(struct buf *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const unsigned char *at = (const unsigned char *)text + i;
		size_t left = len - i;
		if (at[0] == 0x7F) {
			buf_add_str(out, "\\u007f");
		} else if (left > 1 && at[0] == 0xC2 && at[1] < 0xA0) {
			buf_addf(out, "\\u%04x", at[1]);
			i++;
		} else if (left > 2 && at[0] == 0xEF && at[1] == 0xBF && at[2] >= 0xBE) {
			buf_addf(out, "\\uff%02x", 0xC0u | (at[2] & 0x3Fu));
			i += 2;
		} else if (left > 2 && at[0] == 0xEF && at[1] == 0xBB && at[2] == 0xBF) {
			buf_add_str(out, "\\ufeff");
			i += 2;
		} else {
			buf_add_char(out, text[i]);
		}
	}
}

static void add_quoted(struct buf *out, const char *text, size_t len)
{
	auto_buf struct buf json = BUF_INIT_SECRET(TEXT_MAX);
	buf_add_char(&json, '"');
	buf_add_json(&json, text, len);
	buf_add_char(&json, '"');
	add_json_as_yaml(out, json.text, json.len);
}

static void add_value(struct buf *out, const struct node *value)
{
	auto_buf struct buf json = BUF_INIT(TEXT_MAX);
	node_to_json(value, 0, false, &json);
	add_json_as_yaml(out, json.text, json.len);
}

/* Ansible would take `{{` in it for an expression: the tag keeps it as it is. */
static void add_unsafe(struct buf *out, const struct node *value, int depth)
{
	bool is_map = value->kind == NODE_MAP, is_list = value->kind == NODE_LIST;
	if (depth > DEPTH_MAX || value->kind == NODE_NULL) {
		buf_add_str(out, "null");
	} else if (is_map || is_list) {
		buf_add_char(out, is_map ? '{' : '[');
		for (size_t i = 0; i < value->count; i++) {
			if (i)
				buf_add_str(out, ", ");
			if (is_map) {
				add_quoted(out, value->map[i].key, value->map[i].key_len);
				buf_add_str(out, ": ");
			}
			add_unsafe(out, is_map ? value->map[i].value : value->items[i], depth + 1);
		}
		buf_add_char(out, is_map ? '}' : ']');
	} else if (value->kind == NODE_BOOL || value->kind == NODE_INT ||
		   value->kind == NODE_FLOAT) {
		buf_add_str(out, value->text);
	} else {
		buf_add_str(out, "!unsafe ");
		add_quoted(out, value->text, value->len);
	}
}

/* ---- variables ------------------------------------------------------------------------------ */

static bool has_prefix(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* !vault and !unsafe mean something only in the file that Ansible reads itself. */
static bool is_plain(const struct node *value, int depth)
{
	if (value->kind == NODE_TAGGED || depth > DEPTH_MAX)
		return false;
	for (size_t i = 0; i < value->count; i++) {
		const struct node *inside = value->kind == NODE_MAP    ? value->map[i].value
					    : value->kind == NODE_LIST ? value->items[i]
								       : NULL;
		if (inside && !is_plain(inside, depth + 1))
			return false;
	}
	return true;
}

static void add_variable(struct buf *out, const struct node_entry *entry)
{
	if (!is_plain(entry->value, 0))
		return;
	add_quoted(out, entry->key, entry->key_len);
	buf_add_str(out, ": ");
	add_value(out, entry->value);
	buf_add_str(out, ", ");
}

static void add_variables(const struct step_play *play, struct buf *out)
{
	const struct node *vars = play->client->host->vars;
	buf_add_char(out, '{');
	for (size_t i = 0; i < vars->count; i++)
		if (!has_prefix(vars->map[i].key, "ansible_") &&
			!has_prefix(vars->map[i].key, "aviary_"))
			add_variable(out, &vars->map[i]);
	buf_add_str(out, "\"secrets\": ");
	if (play->secrets)
		add_unsafe(out, play->secrets, 0);
	else
		buf_add_str(out, "{}");
	buf_add_str(out, "}\n");
}

static void add_text(struct buf *out, const struct node *vars, const char *name, const char *text)
{
	if (!text || node_get(vars, name))
		return;
	buf_addf(out, "\"%s\": ", name);
	add_quoted(out, text, strlen(text));
	buf_add_str(out, ", ");
}

/* What the inventory leaves open is what the driver does. */
static void add_standard(const struct step_play *play, struct buf *out)
{
	const struct client *client = play->client;
	const struct node *vars = client->host->vars;
	bool local = !play->policy->driver.remote && !node_get(vars, "ansible_host");
	if (local)
		add_text(out, vars, "ansible_connection", "local");
	add_text(out, vars, "ansible_user", client->user);
}

static void add_connection(const struct step_play *play, struct buf *out)
{
	const struct node *vars = play->client->host->vars;
	buf_add_str(out, "{\"all\": {\"hosts\": {");
	add_quoted(out, play->client->host->name, strlen(play->client->host->name));
	buf_add_str(out, ": {");
	for (size_t i = 0; i < vars->count; i++)
		if (has_prefix(vars->map[i].key, "ansible_"))
			add_variable(out, &vars->map[i]);
	add_standard(play, out);
	buf_add_str(out, "}}}}\n");
}

/* ---- files ---------------------------------------------------------------------------------- */

static bool find_config(
	struct tree *tree, const char *folder, struct arena *arena, const char **config_out)
{
	struct tree_entry entry;
	struct error err;
	const char *path = arena_printf(arena, "%s%sansible.cfg", folder, folder[0] ? "/" : "");
	if (!tree_stat(tree, path, &entry, &err) || entry.type == TREE_FOLDER)
		return false;
	*config_out = path;
	return true;
}

/* Beside the playbook or above it, or in ansible/: where people call ansible-playbook from. */
static const char *config_of(struct tree *tree, const char *playbook, struct arena *arena)
{
	const char *config = NULL;
	auto_free char *folder = mem_dup_str(playbook);
	for (char *slash = strrchr(folder, '/'); slash; slash = strrchr(folder, '/')) {
		*slash = '\0';
		if (find_config(tree, folder, arena, &config))
			return config;
	}
	if (!find_config(tree, "", arena, &config) && !find_config(tree, "ansible", arena, &config))
		return NULL;
	return config;
}

bool step_playbook_fill(const struct step_play *play, struct tree *tree, struct arena *arena,
	struct step_playbook *playbook_out, struct error *err)
{
	auto_buf struct buf variables = BUF_INIT_SECRET(TEXT_MAX);
	auto_buf struct buf connection = BUF_INIT_SECRET(TEXT_MAX);
	add_variables(play, &variables);
	add_connection(play, &connection);
	if (buf_overflowed(&variables) || buf_overflowed(&connection))
		return error_set(err, ERR_INVALID,
			"variables and secrets of '%s' are larger than %zu bytes",
			play->client->name, TEXT_MAX);
	*playbook_out = (struct step_playbook){
		.path = arena_str(arena, play->step->playbook),
		.inventory = arena_str(arena, play->policy->inventory),
		.config = config_of(tree, play->step->playbook, arena),
		.host = arena_str(arena, play->client->host->name),
		.variables = arena_dup(arena, variables.text, variables.len),
		.connection = arena_dup(arena, connection.text, connection.len),
	};
	return true;
}
