/* Whose is a secret, told by names alone */
#include "base/buf.h"
#include "reconcile/isolation.h"
#include <ctype.h>

#define NAME_MAX_PARTS 16 /* of one part of a path; more name nobody */

struct span {
	const char *start;
	size_t len;
};

static bool is_word(char c)
{
	return isalnum((unsigned char)c);
}

/* Runs of letters and digits. */
static size_t split_words(struct span text, struct span words[NAME_MAX_PARTS])
{
	size_t count = 0;
	for (size_t i = 0; i < text.len && count < NAME_MAX_PARTS;) {
		size_t len = 0;
		while (i + len < text.len && is_word(text.start[i + len]))
			len++;
		if (len)
			words[count++] = (struct span){text.start + i, len};
		i += len ? len : 1;
	}
	return count;
}

static const struct client *client_of(const struct fleet *fleet, const char *from, const char *end)
{
	char name[64];
	size_t len = (size_t)(end - from);
	if (len >= sizeof(name)) /* names of clients have 31 bytes */
		return NULL;
	memcpy(name, from, len);
	name[len] = '\0';
	return fleet_client(fleet, name);
}

/* The longest name that is made of whole words; of equally long ones @p likely, else the first. */
static const struct client *client_in(
	const struct fleet *fleet, struct span text, const struct client *likely)
{
	struct span words[NAME_MAX_PARTS];
	size_t count = split_words(text, words);
	const struct client *found = NULL;
	for (size_t length = count; length && !found; length--)
		for (size_t i = 0; i + length <= count; i++) {
			const struct span *last = &words[i + length - 1];
			const struct client *client =
				client_of(fleet, words[i].start, last->start + last->len);
			found = client && (!found || client == likely) ? client : found;
		}
	return found;
}

/* What the pattern spells out names nobody, even if a client is called `clients` or `app`. */
static bool is_of_pattern(const struct fleet *fleet, struct span part)
{
	auto_free char *text = mem_printf("%.*s", (int)part.len, part.start);
	const char *pattern = fleet->policy->secrets_client;
	size_t len = part.len;
	for (const char *at = strstr(pattern, text); at; at = strstr(at + 1, text))
		if ((at == pattern || at[-1] == '/') && (!at[len] || at[len] == '/'))
			return true;
	return false;
}

static const struct client *owner_of_file(
	const struct fleet *fleet, const char *path, const struct client *likely)
{
	const char *end = path + strlen(path);
	while (end > path) {
		const char *start = end;
		while (start > path && start[-1] != '/')
			start--;
		const struct span part = {start, (size_t)(end - start)};
		const struct client *client = client_in(fleet, part, likely);
		if (client && !is_of_pattern(fleet, part))
			return client;
		end = start > path ? start - 1 : path;
	}
	return NULL;
}

/* The only client that reads a file, or NULL. */
static const struct client *only_reader(const struct fleet *fleet, const char *file)
{
	const struct client *found = NULL;
	for (size_t i = 0; i < fleet->client_count; i++) {
		if (strcmp(fleet->clients[i].secrets_file, file) != 0)
			continue;
		if (found)
			return NULL;
		found = &fleet->clients[i];
	}
	return found;
}

const struct client *isolation_file_owner(const struct fleet *fleet, const char *path)
{
	return owner_of_file(fleet, path, only_reader(fleet, path));
}

static bool is_app(const struct fleet *fleet, const char *name)
{
	for (size_t i = 0; i < fleet->client_count; i++)
		for (size_t k = 0; k < fleet->clients[i].app_count; k++)
			if (!strcmp(fleet->clients[i].apps[k], name))
				return true;
	return false;
}

/* A part of a dotted name that is the name of a client; that of an app says nothing. */
static const struct client *named_client(const struct fleet *fleet, const char *name)
{
	while (*name) {
		size_t len = strcspn(name, ".");
		const struct client *client = client_of(fleet, name, name + len);
		if (client && !is_app(fleet, client->name))
			return client;
		name += len + (name[len] == '.');
	}
	return NULL;
}

static bool is_path(const char *path, const char *file)
{
	return path && !strcmp(path, file);
}

const char *isolation_owner(const struct fleet *fleet, const char *file, const char *name)
{
	const struct policy *policy = fleet->policy;
	if (is_path(policy->secrets_service, file))
		return ISOLATION_NOBODY;
	const struct client *client = isolation_file_owner(fleet, file);
	if (client)
		return client->name;
	bool shared = is_path(policy->secrets_shared, file);
	client = shared ? named_client(fleet, name) : only_reader(fleet, file);
	if (client)
		return client->name;
	return shared ? "" : ISOLATION_NOBODY;
}

/* ---- files ---------------------------------------------------------------------------------- */

static bool exists(struct tree *tree, const char *path)
{
	struct tree_entry entry;
	struct error err;
	return tree_stat(tree, path, &entry, &err) || err.code != ERR_NOT_FOUND;
}

static unsigned line_of(const struct fleet *fleet, const char *key)
{
	const struct node *place = node_path(fleet->policy->node, key);
	return place ? place->line : 0;
}

static void check_shared(const struct fleet *fleet, struct tree *tree, struct problems *problems)
{
	const struct policy *policy = fleet->policy;
	const struct client *owner = isolation_file_owner(fleet, policy->secrets_shared);
	unsigned line = line_of(fleet, "secrets.shared");
	if (!exists(tree, policy->secrets_shared))
		return;
	if (is_path(policy->secrets_service, policy->secrets_shared))
		problems_add(problems, POLICY_FILE, line, "give the service a file of its own",
			"'secrets.shared' is the file of the service: every client would get its "
			"secrets");
	else if (owner)
		problems_add(problems, POLICY_FILE, line, "name a file that is for every client",
			"'secrets.shared' is the file of client '%s': every client would get its "
			"secrets",
			owner->name);
}

static int by_file(const void *a, const void *b)
{
	const struct client *const *left = a, *const *right = b;
	int order = strcmp((*left)->secrets_file, (*right)->secrets_file);
	return order ? order : strcmp((*left)->name, (*right)->name);
}

static void check_client(
	const struct fleet *fleet, const struct client *client, struct problems *problems)
{
	const struct client *owner = owner_of_file(fleet, client->secrets_file, client);
	unsigned line = line_of(fleet, "secrets.client");
	if (is_path(fleet->policy->secrets_service, client->secrets_file))
		problems_add(problems, POLICY_FILE, line, "name a file of that client alone",
			"'secrets.client' of '%s' is '%s', the file of the service", client->name,
			client->secrets_file);
	else if (owner && owner != client)
		problems_add(problems, POLICY_FILE, line, "put {{client_name}} into secrets.client",
			"'secrets.client' of '%s' is '%s', the file of client '%s'", client->name,
			client->secrets_file, owner->name);
}

static void check_clients(const struct fleet *fleet, struct tree *tree, struct problems *problems)
{
	auto_free const struct client **sorted = mem_zero(fleet->client_count, sizeof(*sorted));
	const char *shared = fleet->policy->secrets_shared;
	for (size_t i = 0; i < fleet->client_count; i++)
		sorted[i] = &fleet->clients[i];
	if (fleet->client_count > 1)
		qsort(sorted, fleet->client_count, sizeof(*sorted), by_file);
	for (size_t i = 0; i < fleet->client_count; i++) {
		const char *file = sorted[i]->secrets_file;
		const struct client *before = i ? sorted[i - 1] : NULL;
		if (is_path(shared, file))
			continue;
		if (before && !strcmp(before->secrets_file, file) && exists(tree, file) &&
			strcmp(before->name, sorted[i]->name) != 0)
			problems_add(problems, POLICY_FILE, line_of(fleet, "secrets.client"),
				"put {{client_name}} into secrets.client; what is for every client "
				"belongs into secrets.shared",
				"clients '%s' and '%s' have the same file of secrets, '%s'",
				before->name, sorted[i]->name, file);
		check_client(fleet, sorted[i], problems);
	}
}

void isolation_check_files(const struct fleet *fleet, struct tree *tree, struct problems *problems)
{
	if (!fleet->policy->secrets_shared || !fleet->policy->secrets_client)
		return; /* mistakes that are told already */
	check_shared(fleet, tree, problems);
	check_clients(fleet, tree, problems);
}
