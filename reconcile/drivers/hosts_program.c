#include "reconcile/drivers/hosts_job.h"

#define CONNECT_S 15

bool hosts_program_is_used(const struct driver_host *host, const struct hosts_options *options)
{
	return options->openssh || host->openssh || host->jump;
}

/* As ssh_config(5) takes a path: in double quotes, with %% for a percent sign. */
static void add_path(struct buf *out, const char *key, const char *path)
{
	buf_addf(out, "\t%s \"", key);
	for (; *path; path++)
		buf_addf(out, "%s%c", *path == '%' ? "%" : "", *path);
	buf_add_str(out, "\"\n");
}

void hosts_program_config(const struct hosts_options *options, struct buf *out)
{
	buf_add_str(out, "# written by aviary at its start; the first value counts\nHost *\n"
			 "\tBatchMode yes\n\tStrictHostKeyChecking yes\n"
			 "\tServerAliveInterval 15\n\tServerAliveCountMax 3\n"
			 "\tClearAllForwardings yes\n\tRequestTTY no\n"
			 "\tControlPath none\n\tUpdateHostKeys no\n");
	buf_addf(out, "\tConnectTimeout %d\n", CONNECT_S);
	if (options->known_hosts_file)
		add_path(out, "UserKnownHostsFile", options->known_hosts_file);
	if (options->ssh_key_file) {
		add_path(out, "IdentityFile", options->ssh_key_file);
		buf_add_str(out, "\tIdentitiesOnly yes\n");
	}
	buf_add_str(out, "Include ~/.ssh/config\nInclude /etc/ssh/ssh_config\n");
}

bool hosts_program_argv(const struct driver_host *host, const struct hosts_options *options,
	struct strlist *argv, struct error *err)
{
	strlist_clear(argv);
	if (host->fingerprint) {
		(void)error_set(err, ERR_INVALID,
			"host of '%s': the program ssh does not know host_key_fingerprint",
			host->client); /* false */
		return error_hint(err, "write the host's key into hosts.known_hosts_file");
	}
	if (!options->program_config || !host->address[0] || host->address[0] == '-' ||
		host->user[0] == '-')
		return error_set(err, ERR_INVALID, "host '%s' or user '%s' is not usable",
			host->address, host->user);
	strlist_add(argv, "ssh");
	strlist_add(argv, "-T");
	strlist_addf(argv, "-F%s", options->program_config);
	strlist_addf(argv, "-l%s", host->user);
	if (host->port)
		strlist_addf(argv, "-p%u", host->port);
	if (host->jump)
		strlist_addf(argv, "-J%s", host->jump);
	strlist_add(argv, "--");
	strlist_add(argv, host->address);
	strlist_take(argv, NULL);
	return true;
}
