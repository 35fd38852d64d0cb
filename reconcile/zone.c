/* RFC 8536: header and data of version 1, header and data of version 2 with 64-bit times, then a
 * footer with the rule for all later times as POSIX writes it: CET-1CEST,M3.5.0,M10.5.0/3
 */
#include "reconcile/zone.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include <ctype.h>
#include <stdlib.h>

#define ZONE_FILE_MAX ((size_t)1 << 20)
#define ZONE_FOLDER   "/usr/share/zoneinfo"
#define HEADER        44
#define DAY_S         86400

/* ---- bytes ------------------------------------------------------------------------------------
 */

static int64_t big(const char *at, size_t width)
{
	uint64_t value = at[0] & 0x80 ? UINT64_MAX : 0;
	for (size_t i = 0; i < width; i++)
		value = value << 8 | (unsigned char)at[i];
	return (int64_t)value;
}

/* Counts of a header: how much of what follows it. */
struct block {
	const char *at; /* behind the header */
	size_t isut, isstd, leap, time, type, chars;
	size_t width; /* of a time */
};

static size_t block_size(const struct block *block)
{
	return block->time * (block->width + 1) + block->type * 6 + block->chars +
	       block->leap * (block->width + 4) + block->isstd + block->isut;
}

static bool read_block(const char *at, const char *end, size_t width, struct block *out)
{
	size_t *const counts[] = {
		&out->isut, &out->isstd, &out->leap, &out->time, &out->type, &out->chars};
	if (end - at < HEADER || memcmp(at, "TZif", 4) != 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		int64_t count = big(at + 20 + 4 * i, 4);
		if (count < 0 || count > (int64_t)ZONE_FILE_MAX)
			return false;
		*counts[i] = (size_t)count;
	}
	out->at = at + HEADER;
	out->width = width;
	return out->type && block_size(out) <= (size_t)(end - out->at);
}

static bool type_offset(const struct block *block, size_t type, int64_t *offset_out)
{
	const char *types = block->at + block->time * (block->width + 1);
	if (type >= block->type)
		return false;
	*offset_out = big(types + 6 * type, 4);
	return true;
}

/* ---- the rule of the footer -------------------------------------------------------------------
 */

struct rule {
	int month, week, day; /* Mm.w.d */
	int64_t time_s;       /* local, from midnight; may be negative or over a day */
};

static bool skip_name(const char **at)
{
	const char *begin = *at;
	if (**at == '<') {
		const char *close = strchr(*at, '>');
		*at = close ? close + 1 : *at;
		return close != NULL;
	}
	while (isalpha((unsigned char)**at))
		(*at)++;
	return *at - begin >= 3;
}

/* [+-]hh[:mm[:ss]] */
static bool read_time(const char **at, int64_t *seconds_out)
{
	int64_t sign = **at == '-' ? -1 : 1, unit = 3600, total = 0;
	*at += **at == '-' || **at == '+';
	if (!isdigit((unsigned char)**at))
		return false;
	for (; unit; unit /= 60) {
		char *end;
		total += strtol(*at, &end, 10) * unit;
		*at = end;
		if (unit == 1 || **at != ':' || !isdigit((unsigned char)(*at)[1]))
			break;
		(*at)++;
	}
	*seconds_out = sign * total;
	return true;
}

static bool read_rule(const char **at, struct rule *out)
{
	int used = 0;
	if (sscanf(*at, ",M%2d.%1d.%1d%n", &out->month, &out->week, &out->day, &used) != 3 ||
		out->month < 1 || out->month > 12 || out->week < 1 || out->week > 5 ||
		out->day < 0 || out->day > 6)
		return false;
	*at += used;
	out->time_s = 2 * 3600;
	if (**at != '/')
		return true;
	(*at)++;
	return read_time(at, &out->time_s);
}

/* Days from 1970-01-01 (Howard Hinnant's days_from_civil). */
static int64_t days_of(int64_t year, int month, int day)
{
	year -= month <= 2;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t of_era = year - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* Local seconds since 1970 at which the rule holds in a year. */
static int64_t rule_time(const struct rule *rule, int64_t year)
{
	int64_t first = days_of(year, rule->month, 1);
	int64_t next =
		rule->month == 12 ? days_of(year + 1, 1, 1) : days_of(year, rule->month + 1, 1);
	int64_t weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday; 0 is Sunday */
	int64_t day = first + (rule->day - weekday + 7) % 7 + (rule->week - 1) * 7;
	while (day >= next)
		day -= 7;
	return day * DAY_S + rule->time_s;
}

static int64_t year_of(int64_t wall_s)
{
	int64_t year = 1970 + wall_s / (365 * DAY_S + DAY_S / 4);
	while (days_of(year, 1, 1) * DAY_S > wall_s)
		year--;
	while (days_of(year + 1, 1, 1) * DAY_S <= wall_s)
		year++;
	return year;
}

static bool footer_offset(const char *text, int64_t wall_s, int64_t *offset_out)
{
	int64_t standard, summer;
	struct rule begin, end;
	if (!skip_name(&text) || !read_time(&text, &standard))
		return false;
	standard = -standard; /* POSIX counts to the west */
	*offset_out = standard;
	if (!*text)
		return true;
	if (!skip_name(&text))
		return false;
	summer = standard + 3600;
	if (*text != ',') {
		if (!read_time(&text, &summer))
			return false;
		summer = -summer;
	}
	if (!read_rule(&text, &begin) || !read_rule(&text, &end) || *text)
		return false;
	int64_t year = year_of(wall_s + standard);
	int64_t from = rule_time(&begin, year) - standard, to = rule_time(&end, year) - summer;
	bool is_summer = from < to ? wall_s >= from && wall_s < to
				   : wall_s >= from || wall_s < to; /* the southern half */
	*offset_out = is_summer ? summer : standard;
	return true;
}

/* ---- the zone ---------------------------------------------------------------------------------
 */

static bool find_offset(const char *text, size_t len, int64_t wall_s, int64_t *offset_out)
{
	struct block block;
	const char *end = text + len;
	if (!read_block(text, end, 4, &block))
		return false;
	bool long_times = text[4] >= '2';
	if (long_times && !read_block(block.at + block_size(&block), end, 8, &block))
		return false;
	size_t before = 0;
	while (before < block.time && big(block.at + before * block.width, block.width) <= wall_s)
		before++;
	const char *footer = block.at + block_size(&block);
	if (before == block.time && long_times && end - footer > 2 && footer[0] == '\n') {
		auto_free char *rule =
			mem_printf("%.*s", (int)strcspn(footer + 1, "\n"), footer + 1);
		return footer_offset(rule, wall_s, offset_out);
	}
	const char *types = block.at + block.time * block.width;
	return type_offset(&block, before ? (unsigned char)types[before - 1] : 0, offset_out);
}

bool zone_is_name(const char *name)
{
	size_t len = strlen(name);
	return len && len <= 60 && isalpha((unsigned char)name[0]) && !strstr(name, "//") &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789_+-/") == len;
}

bool zone_offset(const char *name, int64_t wall_s, int64_t *offset_out, struct error *err)
{
	const char *folder = getenv("TZDIR");
	auto_buf struct buf text = BUF_INIT(ZONE_FILE_MAX);
	if (!strcmp(name, "UTC")) {
		*offset_out = 0;
		return true;
	}
	if (!zone_is_name(name))
		return error_set(err, ERR_NOT_FOUND, "'%.60s' can not be a time zone", name);
	auto_free char *path = mem_printf("%s/%s", folder && *folder ? folder : ZONE_FOLDER, name);
	if (!fs_read(path, ZONE_FILE_MAX, &text, err))
		return error_wrap(err, "time zone '%s'", name);
	return find_offset(text.text, text.len, wall_s, offset_out) ||
	       error_set(err, ERR_INVALID, "time zone '%s' does not read: %s", name, path);
}
