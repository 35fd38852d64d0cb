#include "tests/lib/sops_random.h"
#include "base/buf.h"
#include <sodium.h>

#define DEPTH_MAX 5

static const char *const odd_texts[] = {"", " ", "a: b", "- x", "#c", "a #b", "null", "~", "1e3",
	"0644", "0899", "y", "No", "on", "true", "\n", "\n\n", "a\nb", "a\nb\n", "a\n\nb\n\n",
	" lead\nx", "\tlead\nx", "trail \nx", "tab\tx", "a\n\tb", "\x01", "\x7f",
	"\xc3\xa9\xe2\x98\x83", "\xf0\x9f\x98\x80", "\r", "a\r\nb", "'", "''", "\"", "\\", "\\t",
	"it's", "%x", "@x", "`x", "!x", "&x", "*x", "{x", "}x", "[x", "]x", "? x", "?x", ":x",
	"x:", "x :y", "a:b", "---", "--- a", "...", "=", "<<", "1:30", "1:30.5", "0x1F", "0o17",
	"0b11", "+1", "-1", "1_000", ".5", "5.", "-", "-.inf", ".NaN", "ENC[AES256_GCM,data:x]",
	"2020-01-01", "2020-01-01T00:00:00Z", "2001-12-14 21:59:43.10", "<a&b>", "a,b", "x ", " x",
	"$x", "a|b", ">", "|", "|-", "key=value", "; c", "a;b", "\xe2\x80\xa8", "\xef\xbb\xbf",
	"\xc2\x85", "\xc2\xa0"};

static const char *const tame_texts[] = {"alpha", "s3cr3t", "a b c", "x-y_z", "Pa55w0rd!", "1x"};

/* splitmix64 (public domain, Sebastiano Vigna) */
static uint64_t next(struct sops_random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

unsigned sops_random_below(struct sops_random *random, unsigned limit)
{
	return (unsigned)(next(random) % limit);
}

uint64_t sops_random_seed(void)
{
	const char *text = getenv("AVIARY_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 10) : randombytes_random();
	printf("AVIARY_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

static bool flat(const struct sops_random *random)
{
	return random->format == SOPS_DOTENV || random->format == SOPS_INI;
}

/* What ini and dotenv cannot hold: a backslash before n, and what ini reads otherwise. */
static bool fits(const struct sops_random *random, const char *text)
{
	if (random->format == SOPS_DOTENV)
		return !strstr(text, "\\n");
	return random->format != SOPS_INI || (!strpbrk(text, "'\"`\\\r\n\x01\x7f") &&
						     strspn(text, "\xc2\x85\xa0\xe2\x80\xa8") == 0);
}

static const struct node *random_text(struct sops_random *random, struct arena *arena)
{
	const char *text;
	unsigned count = ARRAY_LEN(tame_texts);
	if (random->tame || sops_random_below(random, 3) == 0)
		text = tame_texts[sops_random_below(random, count)];
	else
		text = odd_texts[sops_random_below(random, ARRAY_LEN(odd_texts))];
	bool deviates = strstr(text, "lead\n") || text[0] == '\n' || strstr(text, "\xe2\x80\xa8");
	if (!fits(random, text) || (random->as_sops && deviates))
		text = "plain";
	if (sops_random_below(random, 4) == 0)
		text = arena_printf(arena, "%s%s", text, tame_texts[sops_random_below(random, 6)]);
	return node_new_string(arena, text, strlen(text));
}

static const struct node *random_number(struct sops_random *random, struct arena *arena)
{
	static const double numbers[] = {0, 1.5, -2.25, 1e6, 123456.5, 1e-5, 1e21, 1e-7, 0.1,
		5e-324, 1.7976931348623157e308, 66.5, 9007199254740993.0};
	struct node *node;
	if (sops_random_below(random, 2)) {
		node = node_new(arena, NODE_INT, NULL);
		node->integer = (int64_t)next(random) >> sops_random_below(random, 64);
		node->text = arena_printf(arena, "%lld", (long long)node->integer);
	} else {
		node = node_new(arena, NODE_FLOAT, NULL);
		node->number = numbers[sops_random_below(random, ARRAY_LEN(numbers))];
		node->text = arena_printf(arena, "%.17g", node->number);
	}
	node->len = strlen(node->text);
	return node;
}

static const struct node *random_value(struct sops_random *random, struct arena *arena)
{
	struct node *node;
	if (flat(random))
		return random_text(random, arena);
	switch (sops_random_below(random, 8)) {
	case 0:
		return node_new_bool(arena, sops_random_below(random, 2));
	case 1:
	case 2:
		return random_number(random, arena);
	case 3:
		return node_new(arena, NODE_NULL, NULL);
	case 4:
		if (random->format != SOPS_YAML)
			return random_text(random, arena);
		node = node_new(arena, NODE_TIME, NULL);
		node->iso = node->text = "2018-03-10T12:30:00.5+02:00";
		node->len = strlen(node->text);
		return node;
	default:
		return random_text(random, arena);
	}
}

struct sops_item *sops_random_scalar(struct sops_random *random, struct arena *arena)
{
	return sops_item_new(arena, SOPS_ITEM_SCALAR, random_value(random, arena));
}

static void name(
	struct sops_random *random, struct arena *arena, struct sops_item *item, size_t number)
{
	static const char *const starts[] = {"k", "a:b", "key with space", "n", "yes", "1",
		"\xc3\xa9", "x\"y", "dot.key", "<", "'q", "- d", "long-key-long-key-long-key"};
	static const char *const ends[] = {"", "", "", "_unencrypted", ""};
	bool tame = random->tame || flat(random);
	const char *start = tame ? "k" : starts[sops_random_below(random, ARRAY_LEN(starts))];
	const char *key = arena_printf(
		arena, "%s%zu%s", start, number, ends[sops_random_below(random, ARRAY_LEN(ends))]);
	sops_item_name(arena, item, key, strlen(key));
}

static void maybe_comment(
	struct sops_random *random, struct arena *arena, struct sops_item *parent, bool beside)
{
	if (!random->comments || sops_random_below(random, 4))
		return;
	const char *text = arena_printf(arena, " c%u", sops_random_below(random, 1000));
	struct sops_item *comment = sops_item_comment(arena, NULL, text, strlen(text));
	comment->beside = beside && random->format == SOPS_YAML && !sops_random_below(random, 3);
	sops_item_add(arena, parent, comment);
}

static struct sops_item *random_item(
	struct sops_random *random, struct arena *arena, unsigned depth)
{
	unsigned kind = sops_random_below(random, 8);
	if (flat(random) || depth == DEPTH_MAX || kind > 2 - (depth > 2))
		return sops_random_scalar(random, arena);
	bool list = kind == 0;
	struct sops_item *item = sops_item_new(arena, list ? SOPS_ITEM_LIST : SOPS_ITEM_MAP,
		node_new(arena, list ? NODE_LIST : NODE_MAP, NULL));
	unsigned count = sops_random_below(random, 5);
	for (unsigned i = 0; i < count; i++) {
		struct sops_item *child = random_item(random, arena, depth + 1);
		if (!list)
			name(random, arena, child, i);
		if (i || !depth || !random->as_sops) /* sops loses some that come first */
			maybe_comment(random, arena, item, child->kind == SOPS_ITEM_SCALAR);
		sops_item_add(arena, item, child);
	}
	return item;
}

static struct sops_item *random_map(struct sops_random *random, struct arena *arena, size_t least)
{
	struct sops_item *map =
		sops_item_new(arena, SOPS_ITEM_MAP, node_new(arena, NODE_MAP, NULL));
	size_t count = least + sops_random_below(random, 6);
	for (size_t i = 0; i < count; i++) {
		struct sops_item *child = random_item(random, arena, 0);
		name(random, arena, child, i);
		if (random->format != SOPS_INI)
			maybe_comment(random, arena, map, child->kind == SOPS_ITEM_SCALAR);
		sops_item_add(arena, map, child);
	}
	return map;
}

static struct sops_item *random_document(struct sops_random *random, struct arena *arena)
{
	if (random->format == SOPS_BINARY) {
		struct sops_item *map =
			sops_item_new(arena, SOPS_ITEM_MAP, node_new(arena, NODE_MAP, NULL));
		uint8_t bytes[300];
		size_t len = sops_random_below(random, sizeof(bytes));
		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)next(random);
		struct sops_item *data = sops_item_new(
			arena, SOPS_ITEM_SCALAR, node_new_string(arena, (const char *)bytes, len));
		sops_item_name(arena, data, "data", 4);
		sops_item_add(arena, map, data);
		return map;
	}
	if (random->format != SOPS_INI)
		return random_map(random, arena, 1);
	struct sops_item *document =
		sops_item_new(arena, SOPS_ITEM_MAP, node_new(arena, NODE_MAP, NULL));
	for (unsigned i = 0, count = 2 + sops_random_below(random, 3); i < count; i++) {
		struct sops_item *section = random_map(random, arena, i > 0);
		const char *title = i ? arena_printf(arena, "section %u", i) : "DEFAULT";
		sops_item_name(arena, section, title, strlen(title));
		sops_item_add(arena, document, section);
	}
	return document;
}

struct sops_item *sops_random_documents(struct sops_random *random, struct arena *arena)
{
	unsigned count = random->format == SOPS_YAML && !sops_random_below(random, 4)
				 ? 1 + sops_random_below(random, 3)
				 : 1;
	struct sops_item *documents = sops_item_new(arena, SOPS_ITEM_LIST, NULL);
	for (unsigned i = 0; i < count; i++)
		sops_item_add(arena, documents, random_document(random, arena));
	return documents;
}
