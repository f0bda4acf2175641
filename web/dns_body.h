/*
 * DNS settings in bodies of requests and answers, between the forms of the APIs and the one that is kept
 * (coord/dns_spec.h). References returned are the caller's.
 */
#ifndef WEB_DNS_BODY_H
#define WEB_DNS_BODY_H

#include "coord/coord.h"
#include "web/http_req.h"

/* Of what is in effect. Nameservers: ["1.1.1.1"], or objects with address and useWithExitNode; split DNS: an
 * object of such lists by domain. */
json_t *dns_body_resolvers(const struct dns_resolvers *r, bool are_objects) MUST_USE;
json_t *dns_body_split(const struct dns_params *p, bool are_objects) MUST_USE;
json_t *dns_body_texts(char *const *list, unsigned n) MUST_USE;

/* Of a request: texts and objects become objects as they are kept; null an empty list. What is of another type
 * is left as it is, for dns_spec_check to name. */
json_t *dns_body_resolvers_read(const json_t *list) MUST_USE;
/* Domains with an empty list or null are left out; keys are made lower case, without a dot at the end. */
json_t *dns_body_split_read(const json_t *split) MUST_USE;
/* null is an empty list. */
json_t *dns_body_texts_read(const json_t *list) MUST_USE;

/* What is changed so far, to be changed further and given to tailnet_dns_set. */
json_t *dns_body_spec(const struct tailnet *t) MUST_USE;
/* 200 with v, which is taken. */
void dns_body_reply_take(struct http_req *q, json_t *v);

/* GET, POST, PUT, DELETE of …/records[/{id}] for both APIs; they answer. id: from the path. */
void dns_body_records_list(struct http_req *q);
void dns_body_records_make(struct http_req *q);
void dns_body_records_replace(struct http_req *q, const char *id);
void dns_body_records_remove(struct http_req *q, const char *id);
/* The list: {id, name, type, value, comment, source: "config", "file" or "api", problem}; id and comment of
 * "api" only, problem where clients do not get it. */
json_t *dns_body_records(const struct tailnet *t) MUST_USE;

#endif
