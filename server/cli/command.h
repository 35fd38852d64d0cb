/* server/cli/command.h - a subcommand: one file, one line in the table of server/main.c */
#pragma once

struct command {
	const char *name;
	const char *summary; /* one line for `aviary --help` */
	const char *usage;   /* what --help prints; aviary(1) carries it too */
	/* argv[0] is the subcommand's name; returns the exit status (design.md section 8) */
	int (*run)(int argc, char **argv);
};

extern const struct command command_serve;
extern const struct command command_apply;
extern const struct command command_status;
extern const struct command command_reconcile;
extern const struct command command_pause;
extern const struct command command_resume;
extern const struct command command_approve;
extern const struct command command_abort;
extern const struct command command_lead;
extern const struct command command_logs;
extern const struct command command_retry;
extern const struct command command_rollback;
extern const struct command command_history;
extern const struct command command_inventory;
extern const struct command command_plan;
extern const struct command command_render;
extern const struct command command_explain;
extern const struct command command_replay;
extern const struct command command_secrets;
extern const struct command command_validate;
