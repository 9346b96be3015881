package apple

import (
	"encoding/asn1"
	"encoding/base64"
	"fmt"
)

// Holding is what an app has on a device for a transaction.
type Holding struct {
	Bought

	SignedAppTransaction string `json:"signedAppTransaction"`
	// Receipt is the old app receipt, without a signature: nobody should believe it, only
	// take the transaction's id out of it.
	Receipt string `json:"receipt"`
	// TransactionReceipt is the older one still, of a single transaction.
	TransactionReceipt string `json:"transactionReceipt"`
}

// Held gives what the app has, signed as of now.
func (s *Simulator) Held(h Held) (Holding, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.saleOf(h.TransactionID)
	if err != nil {
		return Holding{}, err
	}
	return Holding{
		Bought: s.bought(t), SignedAppTransaction: s.authority.Sign(s.appTransactionOf(t.customer)),
		Receipt: base64.StdEncoding.EncodeToString(appReceipt(t)), TransactionReceipt: transactionReceipt(t),
	}, nil
}

// The attributes of a receipt (receipt validation programming guide).
const (
	attributeBundle   = 2
	attributeInApp    = 17
	attributeProduct  = 1702
	attributeID       = 1703
	attributeOriginal = 1705
)

// appReceipt is a PKCS #7 SignedData (RFC 2315) around the attributes of a receipt.
func appReceipt(t *sale) []byte {
	bought := derSet(
		attribute(attributeProduct, utf8(t.ProductID)), attribute(attributeID, utf8(t.TransactionID)),
		attribute(attributeOriginal, utf8(t.OriginalTransactionID)),
	)
	content := derSet(attribute(attributeBundle, utf8(t.BundleID)), attribute(attributeInApp, bought))
	inner := sequence(oid(1, 2, 840, 113549, 1, 7, 1), explicit(octets(content)))
	signed := sequence(integer(1), derSet(), inner, derSet())
	return sequence(oid(1, 2, 840, 113549, 1, 7, 2), explicit(signed))
}

// transactionReceipt is a property list in NeXTSTEP's notation.
func transactionReceipt(t *sale) string {
	encode := base64.StdEncoding.EncodeToString
	info := fmt.Sprintf("{\n\t\"original-transaction-id\" = \"%s\";\n\t\"transaction-id\" = \"%s\";\n\t\"bid\" = \"%s\";\n}", t.OriginalTransactionID, t.TransactionID, t.BundleID)
	return encode(fmt.Appendf(nil, "{\n\t\"signature\" = \"c2ltdWxhdGVk\";\n\t\"purchase-info\" = \"%s\";\n\t\"pod\" = \"1\";\n}", encode([]byte(info))))
}

func attribute(kind int, value []byte) []byte {
	return sequence(integer(kind), integer(1), octets(value))
}

func utf8(text string) []byte { return must(asn1.MarshalWithParams(text, "utf8")) }

func integer(n int) []byte { return must(asn1.Marshal(n)) }

func octets(value []byte) []byte { return must(asn1.Marshal(value)) }

func oid(arcs ...int) []byte { return must(asn1.Marshal(asn1.ObjectIdentifier(arcs))) }

func sequence(parts ...[]byte) []byte { return tagged(asn1.ClassUniversal, asn1.TagSequence, parts) }

func derSet(parts ...[]byte) []byte { return tagged(asn1.ClassUniversal, asn1.TagSet, parts) }

func explicit(part []byte) []byte { return tagged(asn1.ClassContextSpecific, 0, [][]byte{part}) }

func tagged(class, tag int, parts [][]byte) []byte {
	var content []byte
	for _, part := range parts {
		content = append(content, part...)
	}
	return must(asn1.Marshal(asn1.RawValue{Class: class, Tag: tag, IsCompound: true, Bytes: content}))
}
