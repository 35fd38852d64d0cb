/* server/config_file.h - aviary.yaml as its table of keys reads it, before it becomes a config
 *
 * Internal to server/config*.c.
 */
#pragma once
#include "server/config.h"

struct webhook_file {
	char *forge;
	struct key_texts secret_files;
};

struct token_file {
	char *name, *file;
	struct key_texts may;
};

struct config_raw {
	char *listen, *socket, *state_dir;
	struct {
		char *url, *branch, *ssh_key_file, *known_hosts_file, *token_file, *ca_file;
		char *allowed_signers_file, *revoked_signers_file, *forge_keyring_file;
		int64_t poll_interval_ms;
	} repository;
	struct {
		char *branch, *author, *url, *signing_key_file;
	} status;
	struct {
		char *ssh_key_file, *known_hosts_file;
		int64_t concurrency, pulls;
		int transport; /* transports */
	} hosts;
	struct {
		char *listen;
	} tofu;
	struct key_list webhooks; /* struct webhook_file */
	int64_t webhook_max_body;
	char *age_key_file;
	struct key_list tokens; /* struct token_file */
	int log_format, log_level;
};

/** Put flags and AVIARY_* variables over the file's map. @return a new map, or @p root itself if it
 *  is no map */
const struct node *config_overlay(
	const struct config_source *source, const struct node *root, struct arena *arena);
/** A problem at a node's place. @return false */
PRINTF(4, 5)
bool config_problem(struct problems *problems, const struct node *node, const char *fix,
	const char *format, ...);
/** Is the URL one that goes over ssh (`ssh://`, `user@host:path`)? */
bool config_is_ssh(const char *url);
