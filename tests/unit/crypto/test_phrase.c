#include "crypto/phrase.h"

#include <ctype.h>

#include "crypto/wordlist.h"
#include "unit/crypto/world.h"

/* BIP-39, the vectors of 256 bits. */
static const struct {
    const char *entropy, *words;
} vectors[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000",
     "abandon abandon abandon abandon abandon abandon abandon abandon "
     "abandon abandon abandon abandon abandon abandon abandon abandon "
     "abandon abandon abandon abandon abandon abandon abandon art"},
    {"7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f",
     "legal winner thank year wave sausage worth useful "
     "legal winner thank year wave sausage worth useful "
     "legal winner thank year wave sausage worth title"},
    {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "zoo zoo zoo zoo zoo zoo zoo zoo "
                                                                         "zoo zoo zoo zoo zoo zoo zoo zoo "
                                                                         "zoo zoo zoo zoo zoo zoo zoo vote"},
    {"00ac97c48106f0aeb8ba061e0250a559b3251dc35854e694780ba51d53a50120",
     "absent gorilla van acoustic humor firm title dolphin "
     "bulk barely citizen recall crane moment aspect appear "
     "track phrase actual enforce steel spoon afraid benefit"},
    {"3edc83b60740d77af3afa2fcb82c2f1bc541ee4e2518ddef4996d32453f54a3c",
     "disagree tomato unique attend aspect runway solid violin "
     "witness scrap armed daring favorite warm decade perfect "
     "target kid grant play early wide cigar night"},
    {"89bb4bc5555992cdaf3444c5e7ca5a6e9f27efab894f1990bae41be8b2a26ea4",
     "meadow surge vanish primary odor grocery rubber mass "
     "shine dinner notable tag venue water purchase clarify "
     "book magic ribbon daughter menu eye ritual orchard"},
    {"911fec0fbd88029f6fa99164896c18d898c9232af18bdcca3e42d53b86493104",
     "much youth advance kitchen lens exile salt cram "
     "goose enter alert raise milk muscle profit cousin "
     "system faint mouse price reveal cause series long"},
    {"8080808080808080808080808080808080808080808080808080808080808080",
     "letter advice cage absurd amount doctor acoustic avoid "
     "letter advice cage absurd amount doctor acoustic avoid "
     "letter advice cage absurd amount doctor acoustic bless"},

};

static void published(void **state)
{
    char text[PHRASE_TEXT_BYTES];
    uint8_t m[32], out[32];

    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        unhex(vectors[i].entropy, m);
        phrase_encode(m, text);
        assert_string_equal(text, vectors[i].words);
        assert_int_equal(phrase_decode(vectors[i].words, out, NULL), ERR_OK);
        assert_memory_equal(m, out, 32);
    }
}

static void as_on_paper(void **state)
{
    char text[PHRASE_TEXT_BYTES], paper[1024] = "\n";
    uint8_t m[32], out[32];
    int n = 0;

    (void)state;
    unhex(vectors[4].entropy, m);
    phrase_encode(m, text);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
        n++;
        word[0] = (char)toupper((unsigned char)word[0]);
        snprintf(paper + strlen(paper), sizeof paper - strlen(paper), "%2d. %s%s", n, word,
                 n % 4 == 0 ? "\r\n" : ",\t");
    }
    assert_int_equal(phrase_decode(paper, out, NULL), ERR_OK);
    assert_memory_equal(m, out, 32);
}

static void wrong_word(void **state)
{
    struct err_detail d;
    uint8_t out[32];

    (void)state;
    memset(out, 1, 32);
    assert_int_equal(phrase_decode("zoo zoo zoo zoo zoo zoo anchr zoo zoo zoo zoo zoo "
                                   "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote",
                                   out, &d),
                     ERR_PARSE);
    assert_string_equal(d.text, "word 7 \"anchr\" is not in the list; did you mean \"anchor\"?");
    assert_true(secret_is_zero(out, 32));
    assert_int_equal(phrase_decode("zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo "
                                   "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo qqxxyyzz",
                                   out, &d),
                     ERR_PARSE);
    assert_string_equal(d.text, "word 24 \"qqxxyyzz\" is not in the list");
}

static void word_count(void **state)
{
    struct err_detail d;
    uint8_t out[32];

    (void)state;
    assert_int_equal(phrase_decode("zoo zoo", out, &d), ERR_PARSE);
    assert_string_equal(d.text, "the phrase has 2 words, needs 24");
    assert_int_equal(phrase_decode("", out, &d), ERR_PARSE);
    assert_string_equal(d.text, "the phrase has 0 words, needs 24");
    /* 12 words with a right checksum of their own are another kind of phrase */
    assert_int_equal(
        phrase_decode("legal winner thank year wave sausage worth useful legal winner thank yellow", out, &d),
        ERR_PARSE);
    assert_string_equal(d.text, "the phrase has 12 words, needs 24");
}

static void checksum(void **state)
{
    struct err_detail d;
    uint8_t out[32];

    (void)state;
    assert_int_equal(phrase_decode("zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo "
                                   "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo",
                                   out, &d),
                     ERR_PARSE);
    assert_string_equal(d.text, "all words are in the list, but one is wrong or two are swapped");
    assert_true(secret_is_zero(out, 32));
}

static void every_word(void **state)
{
    (void)state;
    assert_string_equal(wordlist_word(0), "abandon");
    assert_string_equal(wordlist_word(2047), "zoo");
    for (int i = 0; i < WORDLIST_WORDS; i++) {
        const char *word = wordlist_word((unsigned)i);

        assert_int_equal(wordlist_find(word, strlen(word)), i);
        if (i > 0) {
            assert_true(strcmp(wordlist_word((unsigned)i - 1), word) < 0);
            assert_true(strncmp(wordlist_word((unsigned)i - 1), word, 4) != 0);
        }
    }
    assert_int_equal(wordlist_find("abando", 6), -1);
    assert_int_equal(wordlist_find("abandonn", 8), -1);
    assert_int_equal(wordlist_find("", 0), -1);
    assert_int_equal(wordlist_find("zzzzzzzzzzzz", 12), -1);
}

static void nearest(void **state)
{
    (void)state;
    assert_string_equal(wordlist_nearest("anchr", 5), "anchor");
    assert_string_equal(wordlist_nearest("abondon", 7), "abandon");
    assert_string_equal(wordlist_nearest("leagl", 5), "legal");
    assert_null(wordlist_nearest("x", 1));
    assert_null(wordlist_nearest("qqxxyyzz", 8));
    assert_null(wordlist_nearest("aaaaaaaaaaaaaaaaaaaaaaaa", 24));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("phrases are those of BIP-39", published),
        sentence("a phrase is read as it stands on paper: numbers, capitals, commas, lines", as_on_paper),
        sentence("a word not in the list is named, with its place and the nearest one", wrong_word),
        sentence("24 words are needed, and the number given is said", word_count),
        sentence("a wrong checksum is told", checksum),
        sentence("each of the 2048 words is found at its place and differs in four letters", every_word),
        sentence("the nearest word is within two slips, or none", nearest),
    };

    return crypto_init() == ERR_OK ? run_sentences("phrase", tests) : 1;
}
