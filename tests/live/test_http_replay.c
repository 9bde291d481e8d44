/* SPDX-License-Identifier: MIT
 * Requests of clients that cannot be installed here, copied from their sources: method, target,
 * headers and body. The replies must match the models of the generated clients, which raise
 * exceptions for texts outside of an enum, and for null. */
#include "http_fastly.h"

enum reply { REPLY_ID, REPLY_MAP, REPLY_ALL };

static const struct replay {
    const char *client; /* its version, and the file that makes the request */
    const char *method, *target, *headers[6], *body;
    enum reply reply;
    const char *sent[2]; /* what must be sent to Fastly */
    bool soft;
} replays[] = {
    /* fastly/fastly-py 14.1.0 fastly/api/purge_api.py, fastly/api_client.py */
    {"fastly-py purge_tag",
     "POST",
     KEYS "/py/key:1",
     {"Fastly-Key: " TOKEN, "Accept: application/json", "User-Agent: fastly-py/14.1.0"},
     NULL,
     REPLY_ID,
     {"py/key:1"},
     false},
    {"fastly-py bulk_purge_tag",
     "POST",
     KEYS,
     {"Fastly-Key: " TOKEN, "Accept: application/json", "Content-Type: application/json",
      "fastly-soft-purge: 1", "User-Agent: fastly-py/14.1.0"},
     "{\"surrogate_keys\": [\"py-a\", \"py-b\"]}",
     REPLY_MAP,
     {"py-a", "py-b"},
     true},
    {"fastly-py purge_single_url",
     "POST",
     "/purge/https://www.example.com/py?x=1",
     {"Fastly-Key: " TOKEN, "Accept: application/json", "User-Agent: fastly-py/14.1.0"},
     NULL,
     REPLY_ID,
     {"https://www.example.com/py?x=1"},
     false},
    /* fastly/fastly-php 13.1.0 lib/Api/PurgeApi.php: omits empty values */
    {"fastly-php bulkPurgeTag",
     "POST",
     KEYS,
     {"Fastly-Key: " TOKEN, "Accept: application/json", "Content-Type: application/json",
      "User-Agent: fastly-php/13.1.0"},
     "{\"surrogate_keys\":[\"php-a\",\"php-b\"]}",
     REPLY_MAP,
     {"php-a", "php-b"},
     false},
    {"fastly-php purgeTag",
     "POST",
     KEYS "/php-one",
     {"Fastly-Key: " TOKEN, "Accept: application/json", "User-Agent: fastly-php/13.1.0",
      "fastly-soft-purge: 1"},
     NULL,
     REPLY_ID,
     {"php-one"},
     true},
    /* fastly/fastly-ruby 17.0.0 lib/fastly/api/purge_api.rb; up to version 4 it escaped like CGI */
    {"fastly-ruby bulk_purge_tag",
     "POST",
     KEYS,
     {"Fastly-Key: " TOKEN, "Accept: application/json", "Content-Type: application/json",
      "surrogate-key: ruby-a ruby-b", "Expect;", "User-Agent: fastly-ruby/v17.0.0"},
     NULL,
     REPLY_MAP,
     {"ruby-a", "ruby-b"},
     false},
    {"fastly-ruby 4 purge_tag",
     "POST",
     KEYS "/ruby%2Fold%3A1",
     {"Fastly-Key: " TOKEN, "Accept: application/json", "fastly-soft-purge: 1"},
     NULL,
     REPLY_ID,
     {"ruby/old:1"},
     true},
    /* fastly/fastly-rust 13.1.0 src/apis/purge_api.rs: sends null if there is no body */
    {"fastly-rust bulk_purge_tag",
     "POST",
     KEYS,
     {"fastly-soft-purge: 1", "surrogate-key: rust-a rust-b", "fastly-key: " TOKEN,
      "content-type: application/json", "accept: */*"},
     "null",
     REPLY_MAP,
     {"rust-a", "rust-b"},
     true},
    {"fastly-rust purge_single_url",
     "POST",
     "/purge/www.example.com/rust//a",
     {"fastly-key: " TOKEN, "accept: */*"},
     NULL,
     REPLY_ID,
     {"www.example.com/rust//a"},
     false},
    /* fastly/fastly-go 1.0.0-beta api_purge.go: url.PathEscape of the whole URL */
    {"fastly-go PurgeSingleURL",
     "POST",
     "/purge/https:%2F%2Fwww.example.com%2Fgo%3Fa=1&b=%2520",
     {"Fastly-Key: " TOKEN, "Accept: application/json", "User-Agent: fastly-go/1.0.0-beta.45"},
     NULL,
     REPLY_ID,
     {"https://www.example.com/go?a=1&b=%20"},
     false},
    /* fastly/go-fastly 17.2 fastly/purge.go: RawRequest joins the base URL and the path */
    {"go-fastly PurgeKey",
     "POST",
     "/" KEYS "/go%2Fkey",
     {"Fastly-Key: " TOKEN, "Fastly-Soft-Purge: 1", "Accept-Encoding: gzip",
      "User-Agent: FastlyGo/17.2.0 (+github.com/fastly/go-fastly; go1.26)"},
     NULL,
     REPLY_ID,
     {"go/key"},
     true},
    {"go-fastly PurgeKeys",
     "POST",
     KEYS,
     {"Fastly-Key: " TOKEN, "Surrogate-Key: go-a go-b", "Accept-Encoding: gzip"},
     NULL,
     REPLY_MAP,
     {"go-a", "go-b"},
     false},
    /* fastly/fastly-perl lib/Net/Fastly/Client.pm (Net::Fastly 1.12): an empty form */
    {"Net::Fastly purge",
     "POST",
     "/purge/www.example.com/perl",
     {"X-Fastly-Key: " TOKEN, "Content-Accept: application/json",
      "Content-Type: application/x-www-form-urlencoded", "TE: deflate,gzip;q=0.3",
      "User-Agent: libwww-perl/6.68"},
     "",
     REPLY_ID,
     {"www.example.com/perl"},
     false},
    /* drupal/fastly 4.0 src/Api.php query() */
    {"Drupal purgeKeys",
     "POST",
     "/" KEYS,
     {"Accept: application/json", "Fastly-Key: " TOKEN, "Surrogate-Key: x1f4 9ab2",
      "Fastly-Soft-Purge: 1"},
     NULL,
     REPLY_MAP,
     {"x1f4", "9ab2"},
     true},
    /* fastly/WordPress-Plugin 1.2.29 src/classes/purge-request.php */
    {"WordPress key-collection",
     "POST",
     KEYS,
     {"Fastly-Key: " TOKEN, "Fastly-Soft-Purge: 1", "Surrogate-Key: p-1 tm-post",
      "Content-Type: application/x-www-form-urlencoded; charset=UTF-8",
      "User-Agent: php-requests/1.7"},
     "",
     REPLY_MAP,
     {"p-1", "tm-post"},
     true},
    /* fastly/fastly-magento2 Model/Api.php in 2016: with curl's default Content-Type */
    {"Magento cleanBySurrogateKey",
     "POST",
     KEYS "/cat_p_1",
     {"Fastly-Key: " TOKEN, "Content-Type: application/x-www-form-urlencoded"},
     "",
     REPLY_ID,
     {"cat_p_1"},
     false},
    /* FriendsOfSymfony/FOSHttpCache 3 src/ProxyClient/Fastly.php */
    {"FOSHttpCache invalidateTags",
     "POST",
     KEYS,
     {"Accept: application/json", "Fastly-Soft-Purge: 1", "Fastly-Key: " TOKEN},
     "{\"surrogate_keys\":[\"post-1\",\"post,type-3\"]}",
     REPLY_MAP,
     {"post-1", "post,type-3"},
     true},
    {"FOSHttpCache purge",
     "PURGE",
     "/foo?x=1",
     {"Host: www.example.com", "Fastly-Soft-Purge: 1", "Fastly-Key: " TOKEN},
     NULL,
     REPLY_ID,
     {"www.example.com/foo?x=1"},
     true},
    /* HDNET/cdn_fastly Classes/Service/FastlyService.php (TYPO3) */
    {"TYPO3 cdn_fastly",
     "POST",
     KEYS "/",
     {"Fastly-Key: " TOKEN, "Accept: application/json", "Surrogate-Key: pageId_5 pageId_6"},
     NULL,
     REPLY_MAP,
     {"pageId_5", "pageId_6"},
     false},
};

static const struct http_reply *replay(struct world *w, const struct replay *p)
{
    const char *const *h = p->headers;

    /* The headers end with a NULL. */
    return http_do(w->h, p->method, p->target, p->body, h[0], h[1], h[2], h[3], h[4], h[5], NULL);
}

/* The models: PurgeResponse{status, id}, a map of texts, InlineResponse200{status}. */
static bool fits(const struct http_reply *r, enum reply kind)
{
    size_t texts = 0;
    const char *key;
    json_t *value;

    json_object_foreach(r->json, key, value)
    {
        texts += json_is_string(value) && json_string_length(value) > 0;
    }
    if (r->status != 200 || texts == 0 || texts != json_object_size(r->json))
        return false;
    if (kind == REPLY_MAP)
        return true;
    return strcmp(http_text(r, "status"), "ok") == 0 && texts == (kind == REPLY_ID ? 2 : 1);
}

static void every_client_gets_a_reply_that_it_can_read(void **state)
{
    struct world w = fastly_open(state);

    for (size_t i = 0; i < array_len(replays); i++) {
        const struct replay *p = &replays[i];
        const struct http_reply *r = replay(&w, p);

        if (!fits(r, p->reply))
            fail_msg("%s: %d %s", p->client, r->status, r->body);
        if (p->reply == REPLY_MAP && json_object_size(r->json) != 2)
            fail_msg("%s: not its two keys: %s", p->client, r->body);
    }
    for (size_t i = 0; i < array_len(replays); i++)
        for (size_t k = 0; k < array_len(replays[i].sent) && replays[i].sent[k]; k++)
            world_assert_sent(&w, replays[i].sent[k], replays[i].soft);
    world_close(&w);
}

/* All clients purge everything with the same request; Magento's and WordPress' are soft, too. */
static void every_client_purges_everything(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r;

    r = http_do(w.h, "POST", ALL, NULL, KEY_HEADER, "Accept: application/json", NULL);
    assert_true(fits(r, REPLY_ALL));
    r = http_do(w.h, "POST", ALL, "", KEY_HEADER, "Fastly-Soft-Purge: 1",
                "Content-Type: application/x-www-form-urlencoded", NULL);
    assert_true(fits(r, REPLY_ALL));
    rig_await(w.r, world_count(&w, "all") >= 1);
    world_close(&w);
}

/* -- the models of fastly-py 14.1 fastly/model, which are the same in php, ruby and rust -- */

static const char *const token_texts[] = {"id",           "user_id",    "name", "created_at",
                                          "last_used_at", "expires_at", "ip",   "user_agent"};
static const char *const service_texts[] = {"id", "name", "customer_id", "publish_key"};
static const char *const user_texts[] = {"id", "login", "name", "customer_id", "role"};
static const char *const customer_texts[] = {"id", "name", "owner_id", "pricing_plan"};

static void assert_texts_or_nothing(const json_t *object, const char *const *names, size_t n)
{
    assert_true(json_is_object(object));
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_object_get(object, names[i]);

        if (value && !json_is_string(value))
            fail_msg("%s is no text", names[i]);
    }
}

static void assert_one_of(const json_t *object, const char *name, const char *values)
{
    const json_t *value = json_object_get(object, name);

    if (value && !strstr(values, json_string_value(value)))
        fail_msg("%s: \"%s\" is none of %s", name, json_string_value(value), values);
    if (value)
        assert_null(strchr(json_string_value(value), ' '));
}

static const struct http_reply *get(struct world *w, const char *target)
{
    return http_expect(w->h, 200, "GET", target, NULL, KEY_HEADER, "Accept: application/json",
                       NULL);
}

static void assert_service(const json_t *service)
{
    assert_texts_or_nothing(service, service_texts, array_len(service_texts));
    assert_one_of(service, "type", "vcl wasm");
    assert_true(json_is_array(json_object_get(service, "versions")));
}

static void what_is_read_fits_the_models_of_generated_clients(void **state)
{
    struct world w = fastly_open(state);
    const struct http_reply *r = get(&w, "/tokens/self");

    assert_texts_or_nothing(r->json, token_texts, array_len(token_texts));
    assert_one_of(r->json, "scope", "global purge_select purge_all global:read");
    assert_true(json_is_array(json_object_get(r->json, "services")));
    r = get(&w, "/current_user");
    assert_texts_or_nothing(r->json, user_texts, array_len(user_texts));
    assert_one_of(r->json, "role", "user billing engineer superuser");
    assert_texts_or_nothing(get(&w, "/current_customer")->json, customer_texts,
                            array_len(customer_texts));
    assert_service(get(&w, "/service/" NEWS)->json);
    assert_service(get(&w, "/service/" NEWS "/details")->json);
    assert_service(get(&w, "/service/search?name=shop")->json);
    assert_service(json_array_get(get(&w, "/service?page=1&per_page=20")->json, 1));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(every_client_gets_a_reply_that_it_can_read),
        rig_test(every_client_purges_everything),
        rig_test(what_is_read_fits_the_models_of_generated_clients),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
