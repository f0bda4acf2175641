/* Labels: see the header for the rule. */
#include "coord/dns_label.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool
is_separator(char c)
{
	return c == '.' || c == ' ' || c == '_' || c == '@';
}

static size_t
cut_suffix(const char *s, size_t n, const char *suffix)
{
	size_t m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0 ? n - m : n;
}

void
dns_label_from_host(const char *hostname, char out[DNS_LABEL_MAX])
{
	size_t end = strlen(hostname), start = 0, len = 0;

	end = cut_suffix(hostname, end, ".local");
	end = cut_suffix(hostname, end, ".localdomain");
	end = cut_suffix(hostname, end, ".lan");
	if (end > DNS_LABEL_MAX - 1)
		end = DNS_LABEL_MAX - 1;
	memset(out, 0, DNS_LABEL_MAX);
	while (start < end && !is_alnum(hostname[start]))
		start++;
	while (end > start && !is_alnum(hostname[end - 1]))
		end--;
	for (size_t i = start; i < end; i++) {
		char c = hostname[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (is_separator(c))
			c = '-';
		if (is_alnum(c) || c == '-')
			out[len++] = c;
	}
	if (len == 0)
		memcpy(out, "node", 4);
}

bool
dns_label_is_valid(const char *label)
{
	size_t n = strlen(label);

	if (n == 0 || n >= DNS_LABEL_MAX || label[0] == '-' || label[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++) {
		if (label[i] != '-' && (!is_alnum(label[i]) || (label[i] >= 'A' && label[i] <= 'Z')))
			return false;
	}
	return true;
}

void
dns_label_number(const char *base, unsigned n, char out[DNS_LABEL_MAX])
{
	char suffix[16] = "";
	size_t len = strnlen(base, DNS_LABEL_MAX - 1), n_suffix;

	if (n > 0)
		snprintf(suffix, sizeof(suffix), "-%u", n);
	n_suffix = strlen(suffix);
	if (len + n_suffix > DNS_LABEL_MAX - 1)
		len = DNS_LABEL_MAX - 1 - n_suffix;
	while (n > 0 && len > 1 && base[len - 1] == '-')
		len--;		/* of "a--1" */
	memset(out, 0, DNS_LABEL_MAX);
	memmove(out, base, len);
	memcpy(out + len, suffix, n_suffix);
}

bool
dns_label_is_of(const char *label, const char *base)
{
	char want[DNS_LABEL_MAX];
	const char *dash = strrchr(label, '-');

	if (strcmp(label, base) == 0)
		return true;
	if (dash == NULL || dash[1] < '1' || dash[1] > '9')
		return false;
	for (const char *p = dash + 1; *p != '\0'; p++) {
		if (*p < '0' || *p > '9' || p - dash > 9)
			return false;
	}
	dns_label_number(base, (unsigned)strtoul(dash + 1, NULL, 10), want);
	return strcmp(label, want) == 0;
}
