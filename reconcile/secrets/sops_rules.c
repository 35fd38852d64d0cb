#include "reconcile/secrets/sops_rules.h"
#include "base/buf.h"

static const char *const names[SOPS_RULES] = {
	[SOPS_RULE_NONE] = "",
	[SOPS_UNENCRYPTED_SUFFIX] = "unencrypted_suffix",
	[SOPS_ENCRYPTED_SUFFIX] = "encrypted_suffix",
	[SOPS_UNENCRYPTED_REGEX] = "unencrypted_regex",
	[SOPS_ENCRYPTED_REGEX] = "encrypted_regex",
	[SOPS_UNENCRYPTED_COMMENT_REGEX] = "unencrypted_comment_regex",
	[SOPS_ENCRYPTED_COMMENT_REGEX] = "encrypted_comment_regex",
};

const char *sops_rule_name(enum sops_rule rule)
{
	return names[rule];
}

bool sops_regex_compile(const char *text, regex_t *regex_out, struct error *err)
{
	auto_buf struct buf posix = BUF_INIT(SOPS_REGEX_MAX * 64);
	bool icase;
	if (!sops_regex_translate(text, &posix, &icase, err))
		return false;
	if (regcomp(regex_out, posix.text, REG_EXTENDED | (icase ? REG_ICASE : 0)) == 0)
		return true;
	return error_set(err, ERR_INVALID, "regular expression does not compile");
}

bool sops_regex_matches(const regex_t *regex, const char *text, size_t len)
{
	regmatch_t range[1] = {{.rm_so = 0, .rm_eo = (regoff_t)len}};
	return regexec(regex, text, 1, range, REG_STARTEND) == 0;
}

static bool compile(struct sops_rules *rules, struct error *err)
{
	rules->regex = mem_zero(1, sizeof(*rules->regex));
	if (sops_regex_compile(rules->text, rules->regex, err))
		return true;
	free(rules->regex);
	rules->regex = NULL;
	return false;
}

static bool start_rule(const struct node *metadata, struct sops_rules *rules, struct error *err)
{
	const char *name = names[rules->rule];
	const struct node *place = node_get(metadata, name);
	switch (rules->rule) {
	case SOPS_UNENCRYPTED_REGEX:
	case SOPS_ENCRYPTED_REGEX:
	case SOPS_UNENCRYPTED_COMMENT_REGEX:
	case SOPS_ENCRYPTED_COMMENT_REGEX:
		if (compile(rules, err))
			return true;
		break;
	default:
		return true;
	}
	error_wrap(err, "'sops.%s'", name);
	return place ? error_at(err, place->file, place->line) : false;
}

bool sops_rules_read(const struct node *metadata, struct sops_rules *rules_out, struct error *err)
{
	*rules_out = (struct sops_rules){0};
	for (int i = SOPS_RULE_NONE + 1; i < SOPS_RULES; i++) {
		const struct node *value = node_get(metadata, names[i]);
		if (!value || value->kind == NODE_NULL || !value->len)
			continue;
		if (value->kind == NODE_MAP || value->kind == NODE_LIST)
			return node_error(err, value, "'sops.%s' is no text", names[i]);
		if (rules_out->rule)
			return node_error(err, value,
				"'sops.%s' and 'sops.%s' stand beside each other, only one rule is "
				"allowed",
				names[rules_out->rule], names[i]);
		rules_out->rule = (enum sops_rule)i;
		rules_out->text = value->text;
	}
	if (!rules_out->rule) {
		rules_out->rule = SOPS_UNENCRYPTED_SUFFIX;
		rules_out->text = SOPS_STANDARD_SUFFIX;
	}
	return start_rule(metadata, rules_out, err);
}

void sops_rules_clear(struct sops_rules *rules)
{
	if (rules->regex)
		regfree(rules->regex);
	free(rules->regex);
	*rules = (struct sops_rules){0};
}

bool sops_rules_on_comments(const struct sops_rules *rules)
{
	return rules->rule == SOPS_UNENCRYPTED_COMMENT_REGEX ||
	       rules->rule == SOPS_ENCRYPTED_COMMENT_REGEX;
}

bool sops_rules_match_comment(const struct sops_rules *rules, const char *text, size_t len)
{
	return sops_rules_on_comments(rules) && sops_regex_matches(rules->regex, text, len);
}

bool sops_rules_hit(const struct sops_rules *rules, const char *key, size_t len)
{
	size_t suffix;
	switch (rules->rule) {
	case SOPS_UNENCRYPTED_SUFFIX:
	case SOPS_ENCRYPTED_SUFFIX:
		suffix = strlen(rules->text);
		return len >= suffix && memcmp(key + len - suffix, rules->text, suffix) == 0;
	case SOPS_UNENCRYPTED_REGEX:
	case SOPS_ENCRYPTED_REGEX:
		return sops_regex_matches(rules->regex, key, len);
	default:
		return false;
	}
}

bool sops_rules_encrypt(const struct sops_rules *rules, bool hit)
{
	switch (rules->rule) {
	case SOPS_ENCRYPTED_SUFFIX:
	case SOPS_ENCRYPTED_REGEX:
	case SOPS_ENCRYPTED_COMMENT_REGEX:
		return hit;
	case SOPS_RULE_NONE:
		return true;
	default:
		return !hit;
	}
}
