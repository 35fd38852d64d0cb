#include "server/config.h"
#include "base/buf.h"
#include "base/fs.h"
#include "reconcile/tofu_state.h"
#include "server/config_file.h"
#include <netdb.h>
#include <sys/un.h>
#include <unistd.h>

#define CONFIG_FILE_MAX ((size_t)1 << 20)
#define NAME_CHARS      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

struct converter {
	const struct config_source *source;
	const struct config_raw *raw;
	const struct node *root;
	struct config *config;
	struct arena *arena;
	struct problems *problems;
};

bool config_problem(struct problems *problems, const struct node *node, const char *fix,
	const char *format, ...)
{
	const char *file = node && node->file ? node->file : "";
	va_list args;
	va_start(args, format);
	auto_free char *what = problems_quote(format, args);
	va_end(args);
	problems_add(problems, file, node ? node->line : 0, fix, "%s", what);
	return false;
}

/* ---- paths ---- */

/* Relative paths of the file count from its folder, so that a configuration can be moved. */
static const char *path_of(struct converter *self, const char *text, const struct node *place)
{
	const char *file = self->source->file;
	const char *slash = strrchr(file, '/');
	bool from_file = place && place->line; /* flags, variables and defaults have no line */
	if (!text || text[0] == '/' || !slash || !from_file)
		return text;
	return arena_printf(self->arena, "%.*s/%s", (int)(slash - file), file, text);
}

static const char *path_at(struct converter *self, const char *text, const char *dotted)
{
	return path_of(self, text, node_path(self->root, dotted));
}

/* ---- listen, socket ---- */

static bool is_port(const char *text)
{
	size_t len = strspn(text, "0123456789");
	return len && len <= 5 && !text[len] && strtol(text, NULL, 10) <= 65535;
}

static bool is_listen(const char *text)
{
	const char *colon = strrchr(text, ':');
	if (!colon || colon == text || !is_port(colon + 1))
		return false;
	size_t host = (size_t)(colon - text);
	if (text[0] == '[')
		return host > 2 && text[host - 1] == ']';
	return !memchr(text, ':', host) && host < NI_MAXHOST && !strpbrk(text, " /[]");
}

static bool convert_addresses(struct converter *self)
{
	const struct config_raw *raw = self->raw;
	struct config *config = self->config;
	bool good = true;
	config->listen = raw->listen;
	if (raw->listen && !is_listen(raw->listen))
		good = config_problem(self->problems, node_get(self->root, "listen"),
			"write address:port, such as 127.0.0.1:8750 or [::1]:8750",
			"'listen' is '%.100s', which is no address with a port", raw->listen);
	config->state_dir = path_at(self, raw->state_dir, "state_dir");
	config->socket = path_at(self, raw->socket, "socket");
	if (!config->socket && config->state_dir)
		config->socket = arena_printf(self->arena, "%s/aviary.sock", config->state_dir);
	size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	if (config->socket && strlen(config->socket) > most)
		good = config_problem(self->problems, node_get(self->root, "socket"),
			"choose a shorter path with the key 'socket'",
			"the socket's path is longer than %zu bytes", most);
	return good;
}

/* ---- repository, status ---- */

bool config_is_ssh(const char *url)
{
	const char *colon = strchr(url, ':'), *slash = strchr(url, '/');
	if (!strncmp(url, "ssh://", 6))
		return true;
	return colon && colon > url && !strstr(url, "://") && (!slash || slash > colon);
}

static bool check_url(struct converter *self, const char *url, const char *dotted)
{
	static const char *const schemes[] = {"ssh://", "https://", "http://", "file://", "/"};
	const struct node *place = node_path(self->root, dotted);
	bool known = config_is_ssh(url);
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		known = known || !strncmp(url, schemes[i], strlen(schemes[i]));
	if (!known || url[0] == '-')
		return config_problem(self->problems, place,
			"write ssh://, user@host:path, https:// or an absolute path",
			"'%s' is no URL of a repository", dotted);
	const char *host = strstr(url, "://");
	size_t user = host ? strcspn(host + 3, "/@") : 0;
	bool password = host && host[3 + user] == '@' && memchr(host + 3, ':', user);
	/* The URL itself is not repeated: it holds a secret. */
	if (password)
		return config_problem(self->problems, place,
			"take the password out of the URL and name a 'token_file'",
			"'%s' contains a password", dotted);
	return true;
}

/* The rules of git-check-ref-format(1) that a person may run into. */
static bool is_branch(const char *text)
{
	size_t len = strlen(text);
	bool ends_badly = text[len - 1] == '/' || text[len - 1] == '.' ||
			  (len >= 5 && !strcmp(text + len - 5, ".lock"));
	return len <= 200 && text[0] != '-' && text[0] != '/' && text[0] != '.' && !ends_badly &&
	       !strpbrk(text, " ~^:?*[\\") && !strstr(text, "..") && !strstr(text, "//") &&
	       !strstr(text, "@{") && !strstr(text, "/.") && strncmp(text, "refs/", 5);
}

static bool check_branch(struct converter *self, const char *branch, const char *dotted)
{
	if (!branch || is_branch(branch))
		return true;
	return config_problem(self->problems, node_path(self->root, dotted),
		"write the short name, such as main", "'%s' can not be '%.100s'", dotted, branch);
}

static bool convert_repository(struct converter *self)
{
	struct config_repository *out = &self->config->repository;
	const struct node *place = node_path(self->root, "repository.url");
	bool good = true;
	out->url = self->raw->repository.url;
	out->branch = self->raw->repository.branch;
	out->poll_interval_ms = self->raw->repository.poll_interval_ms;
	out->ssh_key_file =
		path_at(self, self->raw->repository.ssh_key_file, "repository.ssh_key_file");
	out->known_hosts_file = path_at(
		self, self->raw->repository.known_hosts_file, "repository.known_hosts_file");
	out->token_file = path_at(self, self->raw->repository.token_file, "repository.token_file");
	out->ca_file = path_at(self, self->raw->repository.ca_file, "repository.ca_file");
	out->allowed_signers_file = path_at(self, self->raw->repository.allowed_signers_file,
		"repository.allowed_signers_file");
	out->revoked_signers_file = path_at(self, self->raw->repository.revoked_signers_file,
		"repository.revoked_signers_file");
	out->forge_keyring_file = path_at(
		self, self->raw->repository.forge_keyring_file, "repository.forge_keyring_file");
	if (!out->url)
		return false;
	good = check_url(self, out->url, "repository.url");
	good = check_branch(self, out->branch, "repository.branch") && good;
	if (config_is_ssh(out->url) && !out->ssh_key_file)
		good = config_problem(self->problems, place, "add 'repository.ssh_key_file'",
			"an ssh repository needs a key");
	if (config_is_ssh(out->url) && !out->known_hosts_file)
		good = config_problem(self->problems, place,
			"add 'repository.known_hosts_file'; ssh-keyscan prints its lines",
			"an ssh repository needs the host's known key");
	if (!out->allowed_signers_file && (out->revoked_signers_file || out->forge_keyring_file))
		good = config_problem(self->problems, place,
			"add 'repository.allowed_signers_file'",
			"keys of signers are named, but not who may sign");
	return good;
}

static bool convert_hosts(struct converter *self)
{
	struct config_hosts *out = &self->config->hosts;
	out->ssh_key_file = path_at(self, self->raw->hosts.ssh_key_file, "hosts.ssh_key_file");
	out->known_hosts_file =
		path_at(self, self->raw->hosts.known_hosts_file, "hosts.known_hosts_file");
	out->concurrency = self->raw->hosts.concurrency;
	out->pulls = self->raw->hosts.pulls;
	out->openssh = self->raw->hosts.transport == 1;
	out->program_config = arena_printf(self->arena, "%s/ssh_config", self->config->state_dir);
	if (!out->known_hosts_file || out->ssh_key_file)
		return true;
	return config_problem(self->problems, node_get(self->root, "hosts"),
		"add 'hosts.ssh_key_file'", "hosts are known, but no key logs in there");
}

/* States are full of secrets, and the backend has no TLS: they stay on this machine. */
static bool is_local_listen(const char *text)
{
	return is_listen(text) && (!strncmp(text, "127.", 4) || !strncmp(text, "[::1]:", 6) ||
					  !strncmp(text, "localhost:", 10));
}

static bool convert_tofu(struct converter *self)
{
	const char *listen = self->raw->tofu.listen;
	const char *branch = self->config->status.branch;
	self->config->tofu.listen = listen;
	if (listen && branch && !strcmp(branch, TOFU_STATE_BRANCH))
		return config_problem(self->problems, node_path(self->root, "status.branch"),
			"choose another name", "'status.branch' is the branch of tofu's states");
	if (!listen || is_local_listen(listen))
		return true;
	return config_problem(self->problems, node_path(self->root, "tofu.listen"),
		"write a loopback address with a port, such as 127.0.0.1:8751",
		"'tofu.listen' is '%.100s', where states would leave this machine unprotected",
		listen);
}

static bool convert_author(struct converter *self, const char *author)
{
	struct config_status *out = &self->config->status;
	const char *open = strchr(author, '<'), *close = strchr(author, '>');
	size_t name = open ? (size_t)(open - author) : 0;
	while (name && author[name - 1] == ' ')
		name--;
	bool good = name && close && close > open + 1 && !close[1] && !strchr(open + 1, '<') &&
		    !memchr(open, ' ', (size_t)(close - open));
	if (!good)
		return config_problem(self->problems, node_path(self->root, "status.author"),
			"write it as \"Aviary <aviary@example.org>\"",
			"'status.author' is no name with a mail address");
	out->author_name = arena_dup(self->arena, author, name);
	out->author_mail = arena_dup(self->arena, open + 1, (size_t)(close - open) - 1);
	return true;
}

static bool convert_status(struct converter *self)
{
	const struct config_raw *raw = self->raw;
	struct config_status *out = &self->config->status;
	bool good = check_branch(self, raw->status.branch, "status.branch");
	out->branch = raw->status.branch;
	out->signing_key_file =
		path_at(self, raw->status.signing_key_file, "status.signing_key_file");
	out->url = raw->status.url ? raw->status.url : raw->repository.url;
	if (raw->status.author)
		good = convert_author(self, raw->status.author) && good;
	if (raw->status.url)
		good = check_url(self, raw->status.url, "status.url") && good;
	out->inside = out->branch && out->url && raw->repository.branch && raw->repository.url &&
		      !strcmp(out->branch, raw->repository.branch) &&
		      !strcmp(out->url, raw->repository.url);
	return good;
}

/* ---- webhooks, tokens ---- */

static bool convert_forge(struct converter *self, size_t at, const char *name)
{
	struct config_webhook *webhooks = self->config->webhooks;
	const struct node *place = node_get(webhooks[at].node, "forge");
	if (!webhook_forge_parse(name, &webhooks[at].forge))
		return config_problem(self->problems, place,
			"write github, gitlab, gitea, forgejo or bitbucket",
			"there is no forge '%.60s'", name);
	for (size_t i = 0; i < at; i++)
		if (webhooks[i].secret_count && webhooks[i].forge == webhooks[at].forge)
			return config_problem(self->problems, place,
				"write its secret files as one list",
				"the forge '%s' is there twice, first in line %u", name,
				webhooks[i].node->line);
	return true;
}

static bool convert_webhooks(struct converter *self)
{
	const struct key_list *list = &self->raw->webhooks;
	const struct webhook_file *files = list->items;
	struct config *config = self->config;
	bool good = true;
	config->webhooks = arena_array(self->arena, list->count, sizeof(*config->webhooks));
	config->webhook_count = list->count;
	for (size_t i = 0; i < list->count; i++) {
		struct config_webhook *out = &config->webhooks[i];
		const struct key_texts *secrets = &files[i].secret_files;
		out->node = list->nodes[i];
		if (!files[i].forge || !secrets->count)
			continue; /* reported by the table */
		good = convert_forge(self, i, files[i].forge) && good;
		out->secret_count = secrets->count;
		out->secret_files =
			arena_array(self->arena, secrets->count, sizeof(*out->secret_files));
		for (size_t k = 0; k < secrets->count; k++)
			out->secret_files[k] = path_of(self, secrets->items[k], secrets->nodes[k]);
	}
	return good;
}

static bool convert_may(
	struct converter *self, const struct key_texts *words, struct config_token *token)
{
	static const char *const names[] = {"read", "write", "approve"};
	bool good = true;
	for (size_t i = 0; i < words->count; i++) {
		size_t bit = 0;
		while (bit < ARRAY_LEN(names) && strcmp(names[bit], words->items[i]))
			bit++;
		if (bit == ARRAY_LEN(names))
			good = config_problem(self->problems, words->nodes[i],
				"write a list of read, write, approve",
				"'%.60s' is nothing that a token may", words->items[i]);
		else
			token->may |= 1u << bit;
	}
	return good;
}

static bool convert_token_name(struct converter *self, size_t at)
{
	const struct config_token *tokens = self->config->tokens;
	const char *name = tokens[at].name;
	const struct node *place = node_get(tokens[at].node, "name");
	size_t len = strspn(name, NAME_CHARS);
	if (name[len] || len > 64)
		return config_problem(self->problems, place,
			"use letters, digits, '.', '_' and '-', at most 64",
			"'%.80s' can not be the name of a token", name);
	for (size_t i = 0; i < at; i++)
		if (tokens[i].name && !strcmp(tokens[i].name, name))
			return config_problem(self->problems, place, "give it another name",
				"the token '%s' is there twice, first in line %u", name,
				tokens[i].node->line);
	return true;
}

static bool convert_tokens(struct converter *self)
{
	const struct key_list *list = &self->raw->tokens;
	const struct token_file *files = list->items;
	struct config *config = self->config;
	bool good = true;
	config->tokens = arena_array(self->arena, list->count, sizeof(*config->tokens));
	config->token_count = list->count;
	for (size_t i = 0; i < list->count; i++) {
		struct config_token *out = &config->tokens[i];
		out->node = list->nodes[i];
		out->name = files[i].name;
		out->file = path_of(self, files[i].file, node_get(out->node, "file"));
		if (out->name)
			good = convert_token_name(self, i) && good;
		good = convert_may(self, &files[i].may, out) && good;
	}
	return good;
}

/* ---- all of it ---- */

static bool convert(struct converter *self)
{
	struct config *config = self->config;
	config->file = arena_str(self->arena, self->source->file);
	config->node = self->root;
	config->webhook_max_body = self->raw->webhook_max_body;
	config->age_key_file = path_at(self, self->raw->age_key_file, "age_key_file");
	config->log_format = (enum log_format)self->raw->log_format;
	config->log_level = (enum log_level)self->raw->log_level;
	bool good = convert_addresses(self);
	good = convert_repository(self) && good;
	good = convert_status(self) && good;
	good = convert_hosts(self) && good;
	good = convert_tofu(self) && good;
	good = convert_webhooks(self) && good;
	return convert_tokens(self) && good;
}

bool config_parse(const struct config_source *source, struct arena *arena,
	struct config **config_out, struct problems *problems)
{
	struct error err;
	struct config_raw raw = {0};
	struct node_options options = {.rules = NODE_CORE12, .max_bytes = CONFIG_FILE_MAX};
	struct converter self = {.source = source,
		.raw = &raw,
		.config = arena_alloc(arena, sizeof(struct config)),
		.arena = arena,
		.problems = problems};
	if (!node_parse_yaml(
		    arena, source->file, source->bytes, source->len, &options, &self.root, &err)) {
		problems_add_error(problems, &err);
		return false;
	}
	self.root = config_overlay(source, self.root, arena);
	bool good = keys_read(config_keys, "", self.root, source->file, arena, &raw, problems);
	if (self.root->kind != NODE_MAP && self.root->kind != NODE_NULL)
		return false;
	good = convert(&self) && good;
	if (good)
		*config_out = self.config;
	return good;
}

bool config_load(const char *path, const struct config_flags *flags, struct arena *arena,
	struct config **config_out, struct problems *problems)
{
	auto_buf struct buf bytes = BUF_INIT(CONFIG_FILE_MAX);
	struct error err;
	if (!fs_read(path, CONFIG_FILE_MAX, &bytes, &err)) {
		error_at(&err, path, 0);
		problems_add_error(problems, &err);
		return false;
	}
	struct config_source source = {.file = path,
		.bytes = bytes.text,
		.len = bytes.len,
		.environment = (const char *const *)environ};
	if (flags)
		source.flags = *flags;
	return config_parse(&source, arena, config_out, problems);
}
