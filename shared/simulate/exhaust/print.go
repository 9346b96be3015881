package exhaust

import (
	"hash/maphash"

	"grantline/shared/table"
)

// A state is told from others by its print, of 64 bits: what is in the tables, what the Set's
// scene says of everything beside them (providers, what was promised), how much may still go
// wrong, and for each handler what it was answered so far. A handler does nothing but by what
// it was answered, since time stands still and it throws no dice; so two ways with the same
// print go on alike. A handler that has ended or died is all the same, however it came to it.
// Of a million states two have the same print by accident once in 40 million searches.

// Print is told what a state consists of.
type Print struct{ sum uint64 }

var seed = maphash.MakeSeed()

// Number adds a number.
func (p *Print) Number(n uint64) {
	h := p.sum ^ n*0x9E3779B97F4A7C15
	h = (h ^ h>>32) * 0xD6E8FEB86659FD93
	h = (h ^ h>>32) * 0xD6E8FEB86659FD93
	p.sum = h ^ h>>32
}

// Text adds a text.
func (p *Print) Text(s string) { p.Number(maphash.String(seed, s)) }

// Bool adds a truth.
func (p *Print) Bool(b bool) {
	if b {
		p.Number(1)
	} else {
		p.Number(2)
	}
}

// bytes adds bytes.
func (p *Print) bytes(b []byte) { p.Number(maphash.Bytes(seed, b)) }

// printOf is that of an item as it is stored, whatever else there is.
func printOf(i table.Item) uint64 {
	var p Print
	p.Text(string(i.Key.Table))
	p.Text(i.Key.Partition)
	p.Text(i.Key.Sort)
	p.Number(uint64(i.Revision)) //nolint:gosec // only its bits count
	p.bytes(i.Data)
	p.bytes(i.Sealed)
	if i.Index != nil {
		p.Text(i.Index.Partition)
		p.Text(i.Index.Sort)
		p.Text(i.Index.Hint)
	}
	return p.sum
}
