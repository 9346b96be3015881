package apple_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"grantline/shared/apple"
	"grantline/shared/fault"
)

// berShape writes elements of BER: lengths definite or not, OCTET STRINGs whole or in pieces.
type berShape struct {
	indefinite bool
	piece      int  // bytes of a piece of an OCTET STRING; 0 for whole ones
	wrapped    bool // the content in another OCTET STRING, as Xcode has it
}

func (s berShape) element(tag byte, parts ...[]byte) []byte {
	content := slices.Concat(parts...)
	if s.indefinite && tag&0x20 != 0 {
		return slices.Concat([]byte{tag, 0x80}, content, []byte{0, 0})
	}
	return slices.Concat([]byte{tag}, berLength(len(content)), content)
}

// berLength writes a definite length in its shortest form.
func berLength(n int) []byte {
	switch {
	case n < 0x80:
		return []byte{byte(n)}
	case n < 0x100:
		return []byte{0x81, byte(n)}
	case n < 0x10000:
		return []byte{0x82, byte(n >> 8), byte(n)}
	default:
		return []byte{0x83, byte(n >> 16), byte(n >> 8), byte(n)}
	}
}

func (s berShape) octets(content []byte) []byte {
	if s.piece == 0 {
		return s.element(0x04, content)
	}
	var pieces []byte
	for part := range slices.Chunk(content, s.piece) {
		pieces = append(pieces, s.element(0x04, part)...)
	}
	return s.element(0x24, pieces)
}

func (s berShape) number(n int) []byte {
	switch {
	case n < 0x80:
		return []byte{0x02, 1, byte(n)}
	case n < 0x8000:
		return []byte{0x02, 2, byte(n >> 8), byte(n)}
	default:
		return []byte{0x02, 3, byte(n >> 16), byte(n >> 8), byte(n)}
	}
}

func (s berShape) attribute(kind int, value []byte) []byte {
	return s.element(0x30, s.number(kind), s.number(1), s.octets(value))
}

func (s berShape) words(text string) []byte { return s.element(0x0c, []byte(text)) }

// inApp is one purchase: its quantity, product and ids.
func (s berShape) inApp(ids ...[]byte) []byte {
	parts := [][]byte{s.attribute(1701, s.number(1)), s.attribute(1702, s.words("com.example.gems100"))}
	return s.attribute(17, s.element(0x31, append(parts, ids...)...))
}

var (
	objectSignedData = []byte{0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02}
	objectData       = []byte{0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01}
)

// envelope puts the content of a receipt into SignedData, with certificates and signers
// that nobody looks at.
func (s berShape) envelope(content []byte) []byte {
	if s.wrapped {
		content = s.element(0x04, content)
	}
	return s.element(0x30, objectSignedData, s.element(0xa0, s.element(0x30,
		s.number(1),
		s.element(0x31, s.element(0x30, []byte{0x06, 3, 1, 2, 3})),
		s.element(0x30, objectData, s.element(0xa0, s.octets(content))),
		s.element(0xa0, s.element(0x30, s.number(7))),
		s.element(0x31),
	)))
}

// receipt is an app receipt of these purchases among its other attributes.
func (s berShape) receipt(purchases ...[]byte) []byte {
	parts := append([][]byte{s.attribute(0, s.words("Production")), s.attribute(2, s.words("com.example.app")), s.attribute(5, []byte{0xd1, 0xbc})}, purchases...)
	return s.envelope(s.element(0x31, append(parts, s.attribute(21, s.words("4001-01-01T00:00:00Z")))...))
}

func b64(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

var berShapes = map[string]berShape{
	"DER":                               {},
	"indefinite lengths":                {indefinite: true},
	"octet strings in pieces":           {piece: 7},
	"indefinite lengths and pieces":     {indefinite: true, piece: 5},
	"wrapped once more":                 {wrapped: true},
	"as Xcode writes":                   {indefinite: true, wrapped: true},
	"wrapped, in pieces and indefinite": {indefinite: true, wrapped: true, piece: 30},
}

func TestReceiptGivesItsFirstTransactionIDInEveryEncoding(t *testing.T) {
	for name, s := range berShapes {
		t.Run(name, func(t *testing.T) {
			id := func(kind int, text string) []byte { return s.attribute(kind, s.words(text)) }
			for what, c := range map[string]struct {
				receipt []byte
				want    string
			}{
				"one purchase":               {s.receipt(s.inApp(id(1703, "2000000912345678"), id(1705, "2000000812345678"))), "2000000912345678"},
				"original first":             {s.receipt(s.inApp(id(1705, "2000000812345678"), id(1703, "2000000912345678"))), "2000000812345678"},
				"original only":              {s.receipt(s.inApp(id(1705, "2000000812345678"))), "2000000812345678"},
				"Xcode's":                    {s.receipt(s.inApp(id(1703, "0"))), "0"},
				"two purchases":              {s.receipt(s.inApp(id(1703, "11")), s.inApp(id(1703, "22"))), "11"},
				"the first one without":      {s.receipt(s.inApp(), s.inApp(id(1703, "22"))), "22"},
				"long lengths":               {s.receipt(s.attribute(4, make([]byte, 70000)), s.inApp(s.attribute(1708, make([]byte, 300)), id(1703, "33"))), "33"},
				"unknown attributes between": {s.receipt(s.attribute(99999, []byte{1}), s.inApp(s.attribute(70000, nil), id(1703, "44"))), "44"},
			} {
				got, err := apple.ReceiptTransactionID(b64(c.receipt))
				if err != nil || got != c.want {
					t.Errorf("%s: got %q and error %v, want %q", what, got, err, c.want)
				}
			}
		})
	}
}

func TestReceiptMayBeBrokenIntoLinesAndUnpadded(t *testing.T) {
	s := berShape{}
	for extra := range 3 { // each rest of a division by three
		data := s.receipt(s.attribute(4, make([]byte, extra)), s.inApp(s.attribute(1703, s.words("55"))))
		text := b64(data)
		var lines strings.Builder
		for line := range slices.Chunk([]byte(text), 76) {
			lines.WriteString(string(line) + "\r\n")
		}
		for name, form := range map[string]string{
			"whole": text, "unpadded": strings.TrimRight(text, "="), "in lines": lines.String(), "with spaces around": " \n" + text + "\n",
		} {
			if got, err := apple.ReceiptTransactionID(form); err != nil || got != "55" {
				t.Errorf("%s, %d bytes: got %q and error %v, want 55", name, len(data), got, err)
			}
		}
	}
}

// oldReceipt writes a transactionReceipt, the property list in text of before 2013.
func oldReceipt(info string) string {
	return b64(fmt.Appendf(nil, "{\n\t\"signature\" = \"AAAA\";\n\t\"purchase-info\" = \"%s\";\n\t\"environment\" = \"Sandbox\";\n\t\"pod\" = \"100\";\n\t\"signing-status\" = \"0\";\n}", b64([]byte(info))))
}

func TestOldTransactionReceiptGivesItsTransactionID(t *testing.T) {
	const info = "{\n\t\"original-transaction-id\" = \"11111111\";\n\t\"transaction-id\" = \"33993399\";\n\t\"item-id\" = \"9\";\n}"
	if got, err := apple.ReceiptTransactionID(oldReceipt(info)); err != nil || got != "33993399" {
		t.Errorf("got %q and error %v, want 33993399", got, err)
	}
}

func TestReceiptWithoutPurchaseIsInvalidAndNotMalformed(t *testing.T) {
	s := berShape{}
	cases := map[string]string{
		"an old one":                b64([]byte(`{"purchase-info" = "` + b64([]byte(`{"item-id" = "9";}`)) + `";}`)),
		"an id outside of purchase": b64(s.receipt(s.attribute(1703, s.words("66")))),
		"an empty set":              b64(s.envelope(s.element(0x31))),
	}
	for name, s := range berShapes {
		cases["empty, "+name] = b64(s.receipt())
		cases["purchases without ids, "+name] = b64(s.receipt(s.inApp(), s.inApp()))
	}
	for name, receipt := range cases {
		id, err := apple.ReceiptTransactionID(receipt)
		if id != "" || !errors.Is(err, fault.Invalid) || !errors.Is(err, apple.ErrReceipt) || fault.Code(err) != "invalid_purchase" {
			t.Errorf("%s: got %q and error %v, want invalid_purchase of kind %v by %q", name, id, err, fault.Invalid, apple.ErrReceipt)
		}
	}
}

func TestWhatIsNoReceiptIsMalformed(t *testing.T) {
	s, x := berShape{}, berShape{indefinite: true}
	good := s.receipt(s.inApp(s.attribute(1703, s.words("77"))))
	xcode := x.receipt(x.inApp(x.attribute(1703, x.words("77"))))
	if id, err := apple.ReceiptTransactionID(b64(xcode)); err != nil || id != "77" {
		t.Fatalf("got %q and error %v, want 77", id, err)
	}
	deep := func(n int, tag byte) []byte { return slices.Repeat([]byte{tag, 0x80}, n) }
	closed := func(n int, tag byte) []byte {
		return slices.Concat(deep(n, tag), []byte{0x04, 0}, make([]byte, 2*n))
	}
	withID := func(text string) string { return b64(s.receipt(s.inApp(s.attribute(1703, s.words(text))))) }
	signed := func(parts ...[]byte) []byte {
		return s.element(0x30, objectSignedData, s.element(0xa0, s.element(0x30, parts...)))
	}
	tiny := slices.Repeat([]byte{0x04, 0}, 300000) // more elements than any receipt has
	cases := map[string]string{
		"nothing":                       "",
		"a space":                       " ",
		"no base64":                     "%%%%",
		"url-safe base64":               "MIAG_-__",
		"a signed transaction":          genuine(t).sign(payload),
		"zeros":                         b64(make([]byte, 64)),
		"one byte":                      b64(good[:1]),
		"two bytes":                     b64(good[:2]),
		"cut in the middle":             b64(good[:len(good)/2]),
		"cut at the end":                b64(good[:len(good)-1]),
		"Xcode's, cut at the end":       b64(xcode[:len(xcode)-1]),
		"Xcode's, without an end":       b64(xcode[:len(xcode)-8]),
		"too large":                     b64(append(slices.Clone(good), make([]byte, 1<<20)...)),
		"an id with a letter too many":  withID("7#7"),
		"an id of nothing":              withID(""),
		"an id of 65 letters":           withID(strings.Repeat("7", 65)),
		"an id with a line break":       withID("77\n"),
		"an id that is no UTF-8 String": b64(s.receipt(s.inApp(s.attribute(1703, s.element(0x16, []byte("77")))))),
		"an id without a value":         b64(s.receipt(s.inApp(s.attribute(1703, nil)))),
		"another kind of PKCS #7":       b64(s.element(0x30, objectData, s.element(0xa0, s.element(0x30)))),
		"no object":                     b64(s.element(0x30, s.number(1))),
		"no content":                    b64(s.element(0x30, objectSignedData)),
		"signed data of nothing":        b64(signed()),
		"signed data, detached":         b64(signed(s.number(1), s.element(0x31), s.element(0x30, objectData))),
		"a version of another tag":      b64(signed(s.words("1"), s.element(0x31), s.element(0x30, objectData, s.element(0xa0, s.octets(s.element(0x31)))))),
		"content of nothing":            b64(s.envelope(nil)),
		"content that is no set":        b64(s.envelope(s.element(0x30))),
		"an attribute that is no list":  b64(s.envelope(s.element(0x31, s.number(17)))),
		"an attribute without a value":  b64(s.envelope(s.element(0x31, s.element(0x30, s.number(17), s.number(1))))),
		"an attribute of a named type":  b64(s.envelope(s.element(0x31, s.element(0x30, s.words("17"), s.number(1), s.octets(nil))))),
		"a purchase that is no set":     b64(s.receipt(s.attribute(17, s.words("77")))),
		"a piece that is no octets":     b64(s.element(0x30, objectSignedData, s.element(0xa0, s.element(0x30, s.number(1), s.element(0x31), s.element(0x30, objectData, s.element(0xa0, s.element(0x24, s.number(1)))))))),
		"an indefinite primitive":       b64([]byte{0x04, 0x80, 0, 0}),
		"a length of five bytes":        b64([]byte{0x30, 0x85, 0, 0, 0, 0, 1, 0}),
		"a length without its bytes":    b64([]byte{0x30, 0x84, 0}),
		"a length beyond the end":       b64([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0}),
		"a length reserved":             b64([]byte{0x30, 0xff, 0}),
		"a tag of several bytes":        b64([]byte{0x3f, 0x81, 1, 0}),
		"an end without a beginning":    b64([]byte{0, 0}),
		"nests without an end":          b64(deep(100000, 0x30)),
		"nests too deep":                b64(closed(1000, 0x30)),
		"pieces nest too deep":          b64(s.element(0x30, objectSignedData, s.element(0xa0, s.element(0x30, s.number(1), s.element(0x31), s.element(0x30, objectData, s.element(0xa0, closed(40, 0x24))))))),
		"too many elements":             b64(s.element(0x30, objectSignedData, s.element(0xa0, s.element(0x30, s.number(1), s.element(0x31), s.element(0x30, objectData, s.element(0xa0, s.element(0x24, tiny))))))),
		"an old one without purchase":   b64([]byte(`{"signature" = "AAAA";}`)),
		"an old one of no base64":       b64([]byte(`{"purchase-info" = "=A==";}`)),
		"an old one with an odd id":     oldReceipt(`{"transaction-id" = "3 3";}`),
		"an old one with an empty id":   oldReceipt(`{"transaction-id" = "";}`),
		"an object of JSON":             b64([]byte(`{}`)),
	}
	for name, receipt := range cases {
		id, err := apple.ReceiptTransactionID(receipt)
		if id != "" || !errors.Is(err, fault.Malformed) || !errors.Is(err, apple.ErrReceipt) || fault.Code(err) != "invalid_purchase" {
			t.Errorf("%s: got %q and error %v, want invalid_purchase of kind %v by %q", name, id, err, fault.Malformed, apple.ErrReceipt)
		}
	}
}

func TestEveryCutReceiptIsRefusedOrGivesTheSameID(t *testing.T) {
	for name, s := range berShapes {
		good := s.receipt(s.inApp(s.attribute(1703, s.words("2000000912345678"))))
		for n := range good {
			if id, err := apple.ReceiptTransactionID(b64(good[:n])); err == nil && id != "2000000912345678" {
				t.Errorf("%s, cut after %d bytes: got %q", name, n, id)
			}
		}
	}
}

// Pieces may be in pieces themselves (X.690, 8.7.3).
func TestNestedPiecesAreJoinedInOrder(t *testing.T) {
	s := berShape{}
	content := s.element(0x31, s.inApp(s.attribute(1703, s.words("88"))))
	third := len(content) / 3
	nested := s.element(0x24,
		s.element(0x04, content[:third]),
		berShape{indefinite: true}.element(0x24, s.element(0x04, content[third:2*third]), s.element(0x04)),
		s.element(0x04, content[2*third:]))
	receipt := s.element(0x30, objectSignedData, s.element(0xa0, s.element(0x30, s.number(1), s.element(0x31), s.element(0x30, objectData, s.element(0xa0, nested)))))
	if got, err := apple.ReceiptTransactionID(b64(receipt)); err != nil || got != "88" {
		t.Errorf("got %q and error %v, want 88", got, err)
	}
}

// Each of these would give an id, but for one thing that BER does not allow or that goes
// beyond the bounds.
func TestBoundsAndEncodingHoldBesideAGoodID(t *testing.T) {
	s, x := berShape{}, berShape{indefinite: true}
	content := s.element(0x31, s.inApp(s.attribute(1703, s.words("99"))))
	around := func(object, content []byte, beside ...byte) []byte {
		return x.element(0x30, object, x.element(0xa0, x.element(0x30,
			x.number(1), x.element(0x31), x.element(0x30, objectData, x.element(0xa0, content)), beside)))
	}
	nested := func(n int) []byte {
		out := s.octets(content)
		for range n {
			out = s.element(0x24, out)
		}
		return out
	}
	closed := func(n int) []byte {
		return slices.Concat(slices.Repeat([]byte{0x30, 0x80}, n), make([]byte, 2*n))
	}
	long := slices.Concat([]byte{0x04, 0x85, 0, 0, 0, byte(len(content) >> 8), byte(len(content))}, content)
	for name, c := range map[string]struct {
		data []byte
		ok   bool
	}{
		"good":                              {around(objectSignedData, s.octets(content)), true},
		"wrapped in pieces":                 {around(objectSignedData, s.octets(berShape{piece: 7}.octets(content))), true},
		"beside: nests within bounds":       {around(objectSignedData, s.octets(content), closed(10)...), true},
		"beside: nests too deep":            {around(objectSignedData, s.octets(content), closed(40)...), false},
		"beside: too many elements":         {around(objectSignedData, s.octets(content), slices.Repeat([]byte{0x04, 0}, 300000)...), false},
		"beside: an indefinite primitive":   {around(objectSignedData, s.octets(content), 0x04, 0x80, 0, 0), false},
		"beside: an end of one byte":        {around(objectSignedData, s.octets(content), 0, 1, 0), false},
		"beside: a tag of several bytes":    {around(objectSignedData, s.octets(content), 0x1f, 0), false},
		"a length of five bytes":            {around(objectSignedData, long), false},
		"pieces within pieces":              {around(objectSignedData, nested(10)), true},
		"pieces nest too deep":              {around(objectSignedData, nested(40)), false},
		"the object of another kind":        {around(objectData, s.octets(content)), false},
		"a primitive where a set should be": {around(objectSignedData, s.octets(slices.Concat([]byte{0x11}, content[1:]))), false},
	} {
		id, err := apple.ReceiptTransactionID(b64(c.data))
		if c.ok && (err != nil || id != "99") {
			t.Errorf("%s: got %q and error %v, want 99", name, id, err)
		}
		if !c.ok && (id != "" || !errors.Is(err, fault.Malformed)) {
			t.Errorf("%s: got %q and error %v, want kind %v", name, id, err, fault.Malformed)
		}
	}
}
