package reminder

import (
	"errors"
	"net/url"
	"strings"
	"unicode"
)

// place is where a Link takes the subscription's id.
const place = "{subscriptionId}"

// maxLink bounds the address in a message, in bytes.
const maxLink = 2000

// Link is the address of the company's page on which a customer changes the payment
// method of one subscription. The zero Link is no page.
type Link struct{ template string }

// ParseLink reads an https address in which {subscriptionId} stands for the id. It may
// stand in the path, the query or the fragment, or be left out.
func ParseLink(template string) (Link, error) {
	with := func(id string) (*url.URL, error) { return url.Parse(strings.ReplaceAll(template, place, id)) }
	one, err1 := with("1")
	two, err2 := with("2")
	if err1 != nil || err2 != nil || one.Scheme != "https" || one.Hostname() == "" || one.Host != two.Host || one.User != nil ||
		!plain(template) || strings.ContainsAny(strings.ReplaceAll(template, place, ""), "{}") {
		return Link{}, errors.New("reminder: a link should be an https address, with {subscriptionId} nowhere before the host's end")
	}
	return Link{template}, nil
}

// For is the address for one subscription, "" if there is no page.
func (l Link) For(subscriptionID string) string {
	// QueryEscape leaves nothing that means something in any part of an address but '+'.
	escaped := strings.ReplaceAll(url.QueryEscape(subscriptionID), "+", "%20")
	return strings.ReplaceAll(l.template, place, escaped)
}

// safeLink returns an address that may be shown as one to be followed, "" for any other.
func safeLink(link string) string {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || !plain(link) {
		return ""
	}
	return u.String()
}

// plain says whether an address is not too long and has neither blanks nor what cannot be
// seen, so that it ends where it seems to end.
func plain(link string) bool {
	hidden := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }
	return len(link) <= maxLink && !strings.ContainsFunc(link, hidden)
}
