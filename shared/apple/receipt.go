package apple

import (
	"bytes"
	"encoding/base64"
	"errors"
	"regexp"
	"strings"

	"grantline/shared/fault"
)

// Bounds of a receipt. A request of ours can carry 1 MiB in all (web.MostBytes), so
// nothing larger could come. Real receipts nest eight deep, and have some forty elements
// for each purchase that is in them.
const (
	maxReceipt  = 1 << 20 // letters
	maxNesting  = 16
	maxElements = 1 << 18
)

// ReceiptTransactionID finds a transaction id in what apps sent before transactions were
// signed: an app receipt (base64 of PKCS #7, DER or BER) or the older transactionReceipt
// (base64 of a property list in text). It gives the first id that the receipt names.
//
// Nothing is validated, neither the signature nor whose receipt it is: anybody can write
// one. The id is worth a look-up at the App Store Server API and nothing else.
//
// Errors carry ErrReceipt: fault.Malformed for what is no receipt, fault.Invalid for one
// that names no purchase.
func ReceiptTransactionID(receipt string) (string, error) {
	if len(receipt) > maxReceipt {
		return "", errReceipt
	}
	data, err := receiptBytes(receipt)
	if err != nil {
		return "", errReceipt
	}
	var id string
	if bytes.HasPrefix(data, []byte("{")) {
		id, err = transactionReceiptID(data)
	} else {
		id, err = appReceiptID(data)
	}
	switch {
	case err != nil:
		return "", errReceipt
	case id == "":
		return "", fault.New(fault.Invalid, CodeInvalid, "The receipt names no purchase.").Because(ErrReceipt)
	case !isIdentifier(id):
		return "", errReceipt
	}
	return id, nil
}

var errReceipt = fault.New(fault.Malformed, CodeInvalid, "The receipt cannot be read.").Because(ErrReceipt)

// receiptBytes reads standard base64. Apps break its lines and cut its padding off.
func receiptBytes(text string) ([]byte, error) {
	text = strings.TrimRight(strings.TrimSpace(text), "=")
	return base64.RawStdEncoding.DecodeString(text) // skips \r and \n
}

// A transactionReceipt is a list of `"name" = "value";`. Its purchase-info is base64 of
// another one.
var (
	purchaseInfo  = regexp.MustCompile(`"purchase-info"\s*=\s*"([A-Za-z0-9+/=\r\n]+)"\s*;`)
	transactionID = regexp.MustCompile(`"transaction-id"\s*=\s*"([^"]*)"\s*;`)
)

func transactionReceiptID(data []byte) (string, error) {
	info := purchaseInfo.FindSubmatch(data)
	if info == nil {
		return "", errNoReceipt
	}
	list, err := receiptBytes(string(info[1]))
	if err != nil {
		return "", err
	}
	id := transactionID.FindSubmatch(list)
	if id == nil {
		return "", nil
	}
	if len(id[1]) == 0 {
		return "", errNoReceipt
	}
	return string(id[1]), nil
}

// Tags of BER with their class and the constructed bit (X.690, 8.1.2).
const (
	tagInteger     = 0x02
	tagOctets      = 0x04
	tagObject      = 0x06
	tagUTF8        = 0x0c
	tagSequence    = 0x30
	tagSet         = 0x31
	tagOctetPieces = 0x24 // an OCTET STRING in pieces
	tagExplicit0   = 0xa0

	constructed = 0x20
)

// oidSignedData is 1.2.840.113549.1.7.2 (RFC 2315, 14).
var oidSignedData = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02}

// The attributes of a receipt by their types (Receipt Validation Programming Guide).
const (
	attributeInApp                 = 17
	attributeTransactionID         = 1703
	attributeOriginalTransactionID = 1705
)

var errNoReceipt = errors.New("apple: not a receipt")

// appReceiptID goes down from the PKCS #7 envelope to the first id, "" if there is none.
func appReceiptID(data []byte) (string, error) {
	b := ber{left: maxElements}
	content, err := b.signedContent(data)
	if err != nil {
		return "", err
	}
	id := ""
	err = b.attributes(content, func(kind int, value []byte) (bool, error) {
		if kind != attributeInApp {
			return true, nil
		}
		err := b.attributes(value, func(kind int, value []byte) (bool, error) {
			if kind != attributeTransactionID && kind != attributeOriginalTransactionID {
				return true, nil
			}
			text, _, err := b.want(value, tagUTF8)
			if err != nil || len(text) == 0 {
				return false, errNoReceipt
			}
			id = string(text)
			return false, nil
		})
		return id == "", err
	})
	return id, err
}

// ber reads elements of BER (X.690), of which DER is a part: lengths may be indefinite and
// OCTET STRINGs in pieces.
type ber struct {
	left int // elements that may still be read
}

// next splits data into its first element and the rest. The depth is that within
// elements of indefinite length, whose end has to be looked for.
func (b *ber) next(data []byte, depth int) (tag byte, content, rest []byte, err error) {
	if b.left == 0 || depth > maxNesting || len(data) < 2 {
		return 0, nil, nil, errNoReceipt
	}
	b.left--
	tag = data[0]
	if tag == 0 || tag&0x1f == 0x1f {
		// The end of something that has not begun, or a tag of several bytes, of which
		// receipts have none.
		return 0, nil, nil, errNoReceipt
	}
	length, data := int(data[1]), data[2:]
	switch {
	case length == 0x80:
		if tag&constructed == 0 {
			return 0, nil, nil, errNoReceipt
		}
		for rest = data; ; {
			if len(rest) >= 2 && rest[0] == 0 && rest[1] == 0 {
				return tag, data[:len(data)-len(rest)], rest[2:], nil
			}
			if _, _, rest, err = b.next(rest, depth+1); err != nil {
				return 0, nil, nil, err
			}
		}
	case length > 0x80:
		n := length & 0x7f
		if n > 4 || n > len(data) {
			return 0, nil, nil, errNoReceipt
		}
		length = 0
		for _, digit := range data[:n] {
			length = length<<8 | int(digit)
		}
		data = data[n:]
	}
	if length < 0 || length > len(data) {
		return 0, nil, nil, errNoReceipt
	}
	return tag, data[:length], data[length:], nil
}

// want is next for an element that must have a tag.
func (b *ber) want(data []byte, tag byte) (content, rest []byte, err error) {
	got, content, rest, err := b.next(data, 0)
	if err != nil || got != tag {
		return nil, nil, errNoReceipt
	}
	return content, rest, nil
}

// octets reads an OCTET STRING, of one piece or several.
func (b *ber) octets(data []byte, depth int) (content, rest []byte, err error) {
	tag, content, rest, err := b.next(data, 0)
	switch {
	case err != nil:
		return nil, nil, err
	case tag == tagOctets:
		return content, rest, nil
	case tag != tagOctetPieces || depth == maxNesting:
		return nil, nil, errNoReceipt
	}
	var whole []byte
	for len(content) > 0 {
		var piece []byte
		if piece, content, err = b.octets(content, depth+1); err != nil {
			return nil, nil, err
		}
		whole = append(whole, piece...)
	}
	return whole, rest, nil
}

// signedContent opens ContentInfo, SignedData and the ContentInfo within (RFC 2315, 7 and
// 9.1): the content is a SET of attributes.
func (b *ber) signedContent(data []byte) ([]byte, error) {
	info, _, err := b.want(data, tagSequence)
	if err != nil {
		return nil, err
	}
	object, info, err := b.want(info, tagObject)
	if err != nil || !bytes.Equal(object, oidSignedData) {
		return nil, errNoReceipt
	}
	signed, err := b.down(info, tagExplicit0, tagSequence)
	if err != nil {
		return nil, err
	}
	for _, tag := range []byte{tagInteger, tagSet} { // version, digest algorithms
		if _, signed, err = b.want(signed, tag); err != nil {
			return nil, err
		}
	}
	if signed, _, err = b.want(signed, tagSequence); err != nil {
		return nil, err
	}
	if _, signed, err = b.want(signed, tagObject); err != nil {
		return nil, err
	}
	if signed, err = b.down(signed, tagExplicit0); err != nil {
		return nil, err
	}
	content, _, err := b.octets(signed, 0)
	if err != nil {
		return nil, err
	}
	if len(content) > 0 && (content[0] == tagOctets || content[0] == tagOctetPieces) {
		// Xcode puts another OCTET STRING around it.
		content, _, err = b.octets(content, 0)
	}
	return content, err
}

// down opens elements that are each the first within the one before.
func (b *ber) down(data []byte, tags ...byte) (content []byte, err error) {
	for _, tag := range tags {
		if data, _, err = b.want(data, tag); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// attributes goes through a SET of SEQUENCE {type INTEGER, version INTEGER, value OCTET
// STRING} while more says so.
func (b *ber) attributes(data []byte, more func(kind int, value []byte) (bool, error)) error {
	set, _, err := b.want(data, tagSet)
	if err != nil {
		return err
	}
	for len(set) > 0 {
		var attribute, kind, value []byte
		if attribute, set, err = b.want(set, tagSequence); err != nil {
			return err
		}
		if kind, attribute, err = b.want(attribute, tagInteger); err != nil {
			return err
		}
		if _, attribute, err = b.want(attribute, tagInteger); err != nil {
			return err
		}
		if value, _, err = b.octets(attribute, 0); err != nil {
			return err
		}
		if goOn, err := more(small(kind), value); err != nil || !goOn {
			return err
		}
	}
	return nil
}

// small reads an INTEGER of up to three bytes, and takes all others for 0, which is the
// type of nothing that is looked for.
func small(digits []byte) int {
	if len(digits) == 0 || len(digits) > 3 || digits[0]&0x80 != 0 {
		return 0
	}
	n := 0
	for _, d := range digits {
		n = n<<8 | int(d)
	}
	return n
}
