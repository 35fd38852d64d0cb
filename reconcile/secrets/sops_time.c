#include "reconcile/secrets/sops_time.h"

#define FRACTION_DIGITS 9 /* what Go's times hold; further digits are dropped */

struct stamp {
	int year, month, day, hour, minute, second;
	char fraction[FRACTION_DIGITS + 1];
	int offset_minutes;
};

/* @p least to @p most digits. */
static bool read_number(const char **at, int least, int most, int *out)
{
	int value = 0, count = 0;
	while (count < most && **at >= '0' && **at <= '9') {
		value = value * 10 + (**at - '0');
		(*at)++;
		count++;
	}
	*out = value;
	return count >= least;
}

static bool read_char(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static int days_of(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return month == 2 && leap ? 29 : days[month - 1];
}

static bool read_date(const char **at, int least, struct stamp *stamp)
{
	return read_number(at, 4, 4, &stamp->year) && read_char(at, '-') &&
	       read_number(at, least, 2, &stamp->month) && read_char(at, '-') &&
	       read_number(at, least, 2, &stamp->day) && stamp->month >= 1 && stamp->month <= 12 &&
	       stamp->day >= 1 && stamp->day <= days_of(stamp->year, stamp->month);
}

static bool read_fraction(const char **at, struct stamp *stamp)
{
	size_t kept = 0, count = 0;
	if (!read_char(at, '.'))
		return true;
	for (; **at >= '0' && **at <= '9'; (*at)++, count++) {
		if (kept < FRACTION_DIGITS)
			stamp->fraction[kept++] = **at;
	}
	while (kept && stamp->fraction[kept - 1] == '0')
		stamp->fraction[--kept] = '\0';
	return count > 0;
}

static bool read_clock(const char **at, int least, struct stamp *stamp)
{
	return read_number(at, least, 2, &stamp->hour) && read_char(at, ':') &&
	       read_number(at, least, 2, &stamp->minute) && read_char(at, ':') &&
	       read_number(at, least, 2, &stamp->second) && stamp->hour < 24 &&
	       stamp->minute < 60 && stamp->second < 60 && read_fraction(at, stamp);
}

static bool read_zone(const char **at, struct stamp *stamp)
{
	int hours, minutes;
	if (read_char(at, 'Z'))
		return true;
	bool east = **at == '+';
	if (!east && **at != '-')
		return false;
	(*at)++;
	if (!read_number(at, 2, 2, &hours) || !read_char(at, ':') ||
		!read_number(at, 2, 2, &minutes) || hours > 24 || minutes > 59)
		return false;
	stamp->offset_minutes = (hours * 60 + minutes) * (east ? 1 : -1);
	return true;
}

static bool read_stamp(const char *text, enum sops_time_form form, struct stamp *stamp)
{
	bool yaml = form == SOPS_TIME_YAML;
	int least = yaml ? 1 : 2;
	const char *at = text;
	if (!read_date(&at, least, stamp))
		return false;
	if (!*at)
		return yaml;
	char between = *at++;
	if (between != 'T' && !(yaml && (between == 't' || between == ' ')))
		return false;
	if (!read_clock(&at, least, stamp))
		return false;
	return (between == ' ' || read_zone(&at, stamp)) && !*at;
}

bool sops_time_format(const char *text, enum sops_time_form form, bool fraction, char *out)
{
	struct stamp stamp = {0};
	if (!read_stamp(text, form, &stamp))
		return false;
	bool dot = fraction && stamp.fraction[0];
	int offset = stamp.offset_minutes < 0 ? -stamp.offset_minutes : stamp.offset_minutes;
	char zone[16] = "Z";
	if (offset)
		(void)snprintf(zone, sizeof(zone), "%c%02d:%02d",
			stamp.offset_minutes < 0 ? '-' : '+', offset / 60, offset % 60); /* fits */
	(void)snprintf(out, SOPS_TIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d%s%s%s", stamp.year,
		stamp.month, stamp.day, stamp.hour, stamp.minute, stamp.second, dot ? "." : "",
		dot ? stamp.fraction : "", zone); /* fits */
	return true;
}
