#include "server/cli/online.h"
#include <getopt.h>

/* Each option, and who takes it (0: everybody). */
static const struct {
	struct option option;
	unsigned takes;
} known[] = {
	{{"config", required_argument, NULL, 'c'}, 0},
	{{"json", no_argument, NULL, 'j'}, 0},
	{{"help", no_argument, NULL, 'h'}, 0},
	{{"url", required_argument, NULL, 'u'}, ONLINE_URL},
	{{"token-file", required_argument, NULL, 't'}, ONLINE_URL},
	{{"reason", required_argument, NULL, 'r'}, ONLINE_REASON},
	{{"watch", no_argument, NULL, 'w'}, ONLINE_WATCH},
	{{"now", no_argument, NULL, 'N'}, ONLINE_NOW},
	{{"accept-history", no_argument, NULL, 'a'}, ONLINE_ACCEPT},
	{{"branch", required_argument, NULL, 'b'}, ONLINE_BRANCH},
	{{"all", no_argument, NULL, 'A'}, ONLINE_ALL},
	{{"verify", no_argument, NULL, 'v'}, ONLINE_VERIFY},
	{{"signers", required_argument, NULL, 's'}, ONLINE_VERIFY},
	{{"follow", no_argument, NULL, 'f'}, ONLINE_FOLLOW},
};

static bool take(struct online_options *options, int letter)
{
	switch (letter) {
	case 'c':
		options->config = optarg;
		return true;
	case 'u':
		options->url = optarg;
		return true;
	case 't':
		options->token_file = optarg;
		return true;
	case 'r':
		options->reason = optarg;
		return true;
	case 'j':
		return options->json = true;
	case 'h':
		return options->help = true;
	case 'w':
		return options->watch = true;
	case 'N':
		return options->now = true;
	case 'b':
		options->branch = optarg;
		return true;
	case 's':
		options->signers = optarg;
		return true;
	case 'a':
		return options->accept_history = true;
	case 'A':
		return options->all = true;
	case 'v':
		return options->verify = true;
	case 'f':
		return options->follow = true;
	default:
		return false;
	}
}

static bool parse(int argc, char **argv, unsigned takes, struct online_options *options)
{
	struct option longs[ARRAY_LEN(known) + 1] = {{0}};
	size_t count = 0;
	int letter;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!known[i].takes || (takes & known[i].takes))
			longs[count++] = known[i].option;
	optind = 0;
	while ((letter = getopt_long(argc, argv, "c:h", longs, NULL)) != -1)
		if (!take(options, letter))
			return false;
	if (options->help)
		return true;
	if (optind < argc && (takes & ONLINE_ARGUMENT))
		options->argument = argv[optind++];
	if (optind < argc && (takes & ONLINE_SECOND))
		options->second = argv[optind++];
	if (((takes & ONLINE_MUST) && !options->argument) ||
		((takes & ONLINE_SECOND) && !options->second))
		fprintf(stderr, "aviary: %s: its argument is missing\n", argv[0]);
	else if ((takes & ONLINE_WHY) && !(options->reason && *options->reason))
		fprintf(stderr, "aviary: %s: --reason is missing\n", argv[0]);
	else if (options->token_file && !options->url)
		fprintf(stderr, "aviary: %s: --token-file is for --url\n", argv[0]);
	else
		return optind == argc && !(options->branch && (options->config || options->url)) &&
		       !(options->verify && options->argument) &&
		       !(options->signers && !options->verify);
	return false;
}

int online_options(int argc, char **argv, unsigned takes, const char *usage,
	struct online_options *options_out)
{
	*options_out =
		(struct online_options){.config = takes & ONLINE_BRANCH ? NULL : ONLINE_CONFIG};
	if (!parse(argc, argv, takes, options_out)) {
		fputs(usage, stderr);
		return 2;
	}
	if (!options_out->help)
		return -1;
	fputs(usage, stdout);
	return 0;
}

bool online_find(const struct online_options *options, struct arena *arena,
	struct online_service *service_out)
{
	struct config *config;
	*service_out =
		(struct online_service){.url = options->url, .token_file = options->token_file};
	if (options->url)
		return true;
	if (!online_config(options->config, NULL, arena, &config))
		return false;
	service_out->socket = config->socket;
	return true;
}
