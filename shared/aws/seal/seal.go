// Package seal encrypts what a record may not hold in the clear, such as billing keys. The
// one idea: an envelope carries its own data key, wrapped by KMS, and data keys are kept
// in memory, so that a charge costs no KMS call; and an envelope opens only with what it
// was bound to, so that it is worth nothing in another record.
//
// An envelope is: version (1 byte), length of the wrapped data key (2 bytes, big endian),
// the wrapped data key, nonce (12 bytes), ciphertext and tag of AES-256-GCM (NIST SP
// 800-38D) with everything before the nonce, and then what it is bound to, as additional
// data.
package seal

import (
	"container/list"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"grantline/shared/clock"
	"grantline/shared/fault"
)

// ErrBroken is the answer to an envelope that was altered, cut, bound to something else
// or wrapped by another key. Asking again gives the same answer.
var ErrBroken = errors.New("seal: the envelope is broken, or is not for this record")

// Keys makes data keys and unwraps them. Errors: fault.Unavailable where the key's keeper
// did not answer, and from Unwrap ErrBroken for what it did not wrap.
type Keys interface {
	// Generate returns a new data key of 32 bytes, and the same wrapped.
	Generate(ctx context.Context) (plain, wrapped []byte, err error)
	// Unwrap returns the data key in what Generate wrapped.
	Unwrap(ctx context.Context, wrapped []byte) ([]byte, error)
}

const (
	version    = 1
	keyBytes   = 32
	nonceBytes = 12
	tagBytes   = 16
	headBytes  = 3
	// longestWrapped is the longest CiphertextBlob in bytes (AWS KMS, GenerateDataKey).
	longestWrapped = 6144

	// A data key seals for an hour or 2^20 times; with random nonces of 96 bits that is far
	// below the 2^32 of NIST SP 800-38D, 8.3.
	longestUse = time.Hour
	mostUses   = 1 << 20
	// opened is how many unwrapped data keys are kept.
	opened = 1000
	// Longest is the longest plaintext in bytes.
	Longest = 64 << 10
)

// Sealer seals and opens. It is safe for use by many goroutines.
type Sealer struct {
	keys  Keys
	clock clock.Clock
	turn  chan struct{} // held by the one that chooses the key to seal with

	// The key that seals now; guarded by turn.
	sealing *dataKey
	since   time.Time
	uses    int

	mu     sync.Mutex // guards what follows
	recent *list.List // of *dataKey, last used in front
	known  map[string]*list.Element
}

type dataKey struct {
	wrapped []byte
	aead    cipher.AEAD
}

// New makes a Sealer. It asks keys for nothing until something is sealed or opened.
func New(keys Keys, c clock.Clock) *Sealer {
	return &Sealer{keys: keys, clock: c, turn: make(chan struct{}, 1), recent: list.New(), known: map[string]*list.Element{}}
}

// Seal encrypts plaintext, of at most Longest bytes, into an envelope that opens only with
// the same bound: the id of its record and what it is there for. bound is not kept and not
// secret. Errors: fault.Unavailable.
func (s *Sealer) Seal(ctx context.Context, plaintext, bound []byte) ([]byte, error) {
	if len(plaintext) > Longest {
		return nil, fmt.Errorf("seal: bug in the caller: %d bytes are more than %d", len(plaintext), Longest)
	}
	if len(bound) == 0 {
		return nil, errors.New("seal: bug in the caller: the envelope would be bound to nothing")
	}
	key, err := s.sealingKey(ctx)
	if err != nil {
		return nil, err
	}
	envelope := make([]byte, headBytes, headBytes+len(key.wrapped)+nonceBytes+len(plaintext)+tagBytes)
	envelope[0] = version
	binary.BigEndian.PutUint16(envelope[1:], uint16(len(key.wrapped))) //nolint:gosec // KMS wraps to some hundred bytes, and New keys are checked
	envelope = append(envelope, key.wrapped...)
	return key.aead.Seal(envelope, nil, plaintext, additional(envelope, bound)), nil
}

// Open decrypts an envelope. Errors: ErrBroken; fault.Unavailable.
func (s *Sealer) Open(ctx context.Context, sealed, bound []byte) ([]byte, error) {
	if len(sealed) < headBytes || sealed[0] != version || len(bound) == 0 {
		return nil, ErrBroken
	}
	n := int(binary.BigEndian.Uint16(sealed[1:]))
	if n == 0 || n > longestWrapped || len(sealed) < headBytes+n+nonceBytes+tagBytes || len(sealed) > headBytes+n+nonceBytes+Longest+tagBytes {
		return nil, ErrBroken
	}
	head := sealed[:headBytes+n]
	key, err := s.openingKey(ctx, head[headBytes:])
	if err != nil {
		return nil, err
	}
	plaintext, err := key.aead.Open(nil, nil, sealed[len(head):], additional(head, bound))
	if err != nil {
		return nil, ErrBroken
	}
	return plaintext, nil
}

// additional is what is authenticated beside the ciphertext. head tells its own length, so
// that no two pairs give the same bytes.
func additional(head, bound []byte) []byte {
	return append(append(make([]byte, 0, len(head)+len(bound)), head...), bound...)
}

// sealingKey returns the key to seal with, a new one when its time has come.
func (s *Sealer) sealingKey(ctx context.Context) (*dataKey, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	}
	age := s.clock.Now().Sub(s.since)
	if s.sealing == nil || age < 0 || age >= longestUse || s.uses >= mostUses {
		plain, wrapped, err := s.keys.Generate(ctx)
		if err != nil {
			return nil, err
		}
		if len(wrapped) == 0 || len(wrapped) > longestWrapped {
			return nil, unavailable(fmt.Errorf("a wrapped data key has %d bytes", len(wrapped)))
		}
		key, err := newDataKey(plain, wrapped)
		if err != nil {
			return nil, err
		}
		s.remember(key)
		s.sealing, s.since, s.uses = key, s.clock.Now(), 0
	}
	s.uses++
	return s.sealing, nil
}

// openingKey returns the key that was wrapped, from memory if it was used lately.
func (s *Sealer) openingKey(ctx context.Context, wrapped []byte) (*dataKey, error) {
	s.mu.Lock()
	if at, ok := s.known[string(wrapped)]; ok {
		s.recent.MoveToFront(at)
		s.mu.Unlock()
		return at.Value.(*dataKey), nil
	}
	s.mu.Unlock()
	plain, err := s.keys.Unwrap(ctx, wrapped)
	if err != nil {
		return nil, err
	}
	key, err := newDataKey(plain, wrapped)
	if err != nil {
		return nil, err
	}
	s.remember(key)
	return key, nil
}

func (s *Sealer) remember(key *dataKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := string(key.wrapped)
	if _, ok := s.known[name]; ok {
		return
	}
	s.known[name] = s.recent.PushFront(key)
	if s.recent.Len() > opened {
		last := s.recent.Back()
		delete(s.known, string(s.recent.Remove(last).(*dataKey).wrapped))
	}
}

// newDataKey makes the cipher of a data key and forgets the bytes of the key.
func newDataKey(plain, wrapped []byte) (*dataKey, error) {
	defer clear(plain)
	if len(plain) != keyBytes {
		return nil, unavailable(fmt.Errorf("a data key has %d bytes, not %d", len(plain), keyBytes))
	}
	block, err := aes.NewCipher(plain)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return &dataKey{wrapped: append([]byte(nil), wrapped...), aead: aead}, nil
}

func unavailable(cause error) error {
	return fault.New(fault.Unavailable, "key_unavailable", "The key that protects this record cannot be had now.").Because(cause)
}
