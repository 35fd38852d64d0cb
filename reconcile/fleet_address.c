#include "reconcile/fleet_parts.h"

#define ADDRESS_MAX 253

static bool bad_variable(
	const struct node *node, const char *fix, const char *what, struct problems *problems)
{
	problems_add(problems, node->file ? node->file : "", node->line, fix, "%s", what);
	return false;
}

/* The text of a variable, NULL without it. @return false: a problem was added */
static bool read_text(const struct client *client, const char *name, const char **text_out,
	struct problems *problems)
{
	const struct node *node = node_get(client->host->vars, name);
	*text_out = NULL;
	if (!node || node->kind == NODE_NULL)
		return true;
	auto_free char *what =
		mem_printf("'%s' of client '%s' is no plain text", name, client->name);
	if (node->kind != NODE_STRING || !node->len || node->len > ADDRESS_MAX ||
		fleet_text_is_jinja(node->text))
		return bad_variable(
			node, "write the value itself: only Ansible reads Jinja", what, problems);
	*text_out = node->text;
	return true;
}

static bool check_word(const struct client *client, const char *name, const char *text,
	const char *more, struct problems *problems)
{
	const struct node *node = node_get(client->host->vars, name);
	auto_free char *chars = mem_printf("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789%s",
		more);
	if (text[strspn(text, chars)] == '\0' && text[0] != '-')
		return true;
	auto_free char *what =
		mem_printf("'%s' of client '%s' cannot be '%.60s'", name, client->name, text);
	return bad_variable(
		node ? node : client->host->place, "write a name or an address", what, problems);
}

static bool read_port(struct client *client, struct problems *problems)
{
	const struct node *node = node_get(client->host->vars, "ansible_port");
	char *end = NULL;
	if (!node || node->kind == NODE_NULL)
		return true;
	bool number = node->text && (node->kind == NODE_INT || node->kind == NODE_STRING);
	long port = number ? strtol(node->text, &end, 10) : 0;
	if (port > 0 && port <= 65535 && end && !*end) {
		client->port = port == 22 ? 0 : (unsigned)port;
		return true;
	}
	auto_free char *what = mem_printf("'ansible_port' of client '%s' is no port", client->name);
	return bad_variable(node, "write a number from 1 to 65535", what, problems);
}

static bool read_fingerprint(struct client *client, struct problems *problems)
{
	if (!read_text(client, "host_key_fingerprint", &client->fingerprint, problems))
		return false;
	if (!client->fingerprint || !strncmp(client->fingerprint, "SHA256:", 7))
		return true;
	auto_free char *what =
		mem_printf("'host_key_fingerprint' of client '%s' is no fingerprint", client->name);
	return bad_variable(node_get(client->host->vars, "host_key_fingerprint"),
		"write what 'ssh-keygen -lf' prints for the host's key: SHA256:...", what,
		problems);
}

static bool read_user(const struct fleet *fleet, struct client *client, struct problems *problems)
{
	const struct node *driver = fleet->policy->driver.node;
	if (!read_text(client, "ansible_user", &client->user, problems))
		return false;
	if (!client->user)
		client->user = fleet->policy->driver.user;
	if (client->user)
		return check_word(client, "ansible_user", client->user, "._-", problems);
	problems_add(problems, POLICY_FILE, driver ? driver->line : 0,
		"add 'user' to the driver, or ansible_user to the inventory",
		"nobody is named who logs in to the host of client '%s'", client->name);
	return false;
}

/* Of Ansible's arguments for ssh the one that says where the host is: `-J HOPS`, `-o
 * ProxyJump=HOPS` in any of their spellings. */
static bool read_jump(const struct fleet *fleet, struct client *client, struct problems *problems)
{
	static const char *const options[] = {"ProxyJump=", "ProxyJump ", "-J"};
	const char *arguments = NULL, *at = NULL;
	if (!read_text(client, "ansible_ssh_common_args", &arguments, problems))
		return false;
	for (size_t i = 0; arguments && !at && i < ARRAY_LEN(options); i++) {
		at = strstr(arguments, options[i]);
		at = at ? at + strlen(options[i]) : NULL;
	}
	at = at ? at + strspn(at, " \"'") : "";
	if (!*at)
		return true;
	client->jump = arena_dup(fleet->arena, at, strcspn(at, " \"'"));
	return check_word(client, "ansible_ssh_common_args", client->jump, "._:@,[]-", problems);
}

static bool read_transport(struct client *client, struct problems *problems)
{
	const char *transport = NULL;
	if (!read_text(client, "aviary_transport", &transport, problems))
		return false;
	client->openssh = transport && !strcmp(transport, "openssh");
	if (!transport || client->openssh || !strcmp(transport, "libssh2"))
		return true;
	auto_free char *what =
		mem_printf("'aviary_transport' of client '%s' is '%.60s'", client->name, transport);
	return bad_variable(node_get(client->host->vars, "aviary_transport"),
		"write libssh2 or openssh", what, problems);
}

static bool read_sudo(struct client *client, struct problems *problems)
{
	const struct node *node = node_get(client->host->vars, "ansible_become");
	if (!node || node->kind == NODE_NULL)
		return true;
	client->sudo = node->kind == NODE_BOOL && node->boolean;
	if (node->kind == NODE_BOOL)
		return true;
	auto_free char *what =
		mem_printf("'ansible_become' of client '%s' is not yes or no", client->name);
	return bad_variable(node, "write yes or no, without quotes", what, problems);
}

bool fleet_read_address(const struct fleet *fleet, struct client *client, struct problems *problems)
{
	if (!fleet->policy->driver.remote)
		return true;
	if (!read_text(client, "ansible_host", &client->address, problems) ||
		!read_port(client, problems) || !read_fingerprint(client, problems) ||
		!read_user(fleet, client, problems) || !read_jump(fleet, client, problems) ||
		!read_transport(client, problems) || !read_sudo(client, problems))
		return false;
	if (!client->address)
		client->address = client->host->name;
	if (!check_word(client, "ansible_host", client->address, "._:-", problems))
		return false;
	bool brackets = strchr(client->address, ':');
	auto_free char *root = mem_printf(
		"ssh://%s%s%s", brackets ? "[" : "", client->address, brackets ? "]" : "");
	client->root = client->port ? arena_printf(fleet->arena, "%s:%u%s", root, client->port,
					      client->folder)
				    : arena_printf(fleet->arena, "%s%s", root, client->folder);
	return true;
}
