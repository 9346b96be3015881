package seal_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"grantline/shared/aws/seal"
	"grantline/shared/clock"
	"grantline/shared/fault"
)

// keeper wraps data keys by remembering them.
type keeper struct {
	mu        sync.Mutex
	keys      map[string][]byte
	generated int
	unwrapped int
	down      error
	short     bool
}

func newKeeper() *keeper { return &keeper{keys: map[string][]byte{}} }

func (k *keeper) Generate(context.Context) (plain, wrapped []byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.generated++
	if k.down != nil {
		return nil, nil, k.down
	}
	plain = make([]byte, 32)
	if k.short {
		plain = plain[:16]
	}
	rand.Read(plain)
	wrapped = fmt.Appendf(nil, "wrapped-%08d", k.generated)
	k.keys[string(wrapped)] = bytes.Clone(plain)
	return plain, wrapped, nil
}

func (k *keeper) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unwrapped++
	if k.down != nil {
		return nil, k.down
	}
	plain, ok := k.keys[string(wrapped)]
	if !ok {
		return nil, seal.ErrBroken
	}
	return bytes.Clone(plain), nil
}

// hand is a clock that a test moves.
type hand struct {
	clock.Clock
	t time.Time
}

func (h *hand) Now() time.Time { return h.t }

func newHand() *hand { return &hand{t: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)} }

var (
	secret = []byte("billing-key-Zm9v")
	bound  = []byte("sub_1/billing key")
)

func mustSeal(t testing.TB, s *seal.Sealer, plaintext, bound []byte) []byte {
	t.Helper()
	sealed, err := s.Seal(context.Background(), plaintext, bound)
	if err != nil {
		t.Fatalf("Seal: %v", err)
	}
	return sealed
}

func TestWhatWasSealedOpensElsewhere(t *testing.T) {
	keys := newKeeper()
	for _, plaintext := range [][]byte{secret, {}, bytes.Repeat([]byte("x"), seal.Longest)} {
		sealed := mustSeal(t, seal.New(keys, newHand()), plaintext, bound)
		if len(plaintext) > 0 && bytes.Contains(sealed, plaintext) {
			t.Error("the envelope shows what is in it")
		}
		got, err := seal.New(keys, newHand()).Open(t.Context(), sealed, bound)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("opened %d bytes with error %v, want the %d that were sealed", len(got), err, len(plaintext))
		}
	}
}

func TestTheSameIsNeverSealedTheSameTwice(t *testing.T) {
	s := seal.New(newKeeper(), newHand())
	if a, b := mustSeal(t, s, secret, bound), mustSeal(t, s, secret, bound); bytes.Equal(a, b) {
		t.Error("two envelopes are the same")
	}
}

func TestAnEnvelopeIsWorthNothingInAnotherRecord(t *testing.T) {
	s := seal.New(newKeeper(), newHand())
	sealed := mustSeal(t, s, secret, bound)
	for _, other := range []string{"sub_2/billing key", "sub_1/auth key", "sub_1/billing ke", "sub_1/billing key ", ""} {
		if got, err := s.Open(t.Context(), sealed, []byte(other)); !errors.Is(err, seal.ErrBroken) || got != nil {
			t.Errorf("bound to %q: got %d bytes and error %v, want %v", other, len(got), err, seal.ErrBroken)
		}
	}
}

func TestAnAlteredOrCutEnvelopeDoesNotOpen(t *testing.T) {
	keys := newKeeper()
	sealed := mustSeal(t, seal.New(keys, newHand()), secret, bound)
	refuse := func(what string, envelope []byte) {
		t.Helper()
		got, err := seal.New(keys, newHand()).Open(t.Context(), envelope, bound)
		if !errors.Is(err, seal.ErrBroken) || got != nil {
			t.Errorf("%s: got %d bytes and error %v, want %v", what, len(got), err, seal.ErrBroken)
		}
	}
	for i := range sealed {
		for bit := range 8 {
			altered := bytes.Clone(sealed)
			altered[i] ^= 1 << bit
			refuse(fmt.Sprintf("bit %d of byte %d", bit, i), altered)
		}
		refuse(fmt.Sprintf("cut to %d bytes", i), sealed[:i])
	}
	refuse("longer", append(bytes.Clone(sealed), 0))
	refuse("huge", append(bytes.Clone(sealed), make([]byte, seal.Longest)...))
}

func TestADataKeySealsForAnHour(t *testing.T) {
	keys, h := newKeeper(), newHand()
	s := seal.New(keys, h)
	for _, step := range []struct {
		move time.Duration
		want int
	}{{0, 1}, {time.Hour - 1, 1}, {1, 2}, {59 * time.Minute, 2}, {-2 * time.Hour, 3}} {
		h.t = h.t.Add(step.move)
		mustSeal(t, s, secret, bound)
		if keys.generated != step.want {
			t.Errorf("after %v more: %d data keys, want %d", step.move, keys.generated, step.want)
		}
	}
}

func TestADataKeySealsABoundedNumberOfTimes(t *testing.T) {
	keys := newKeeper()
	s := seal.New(keys, newHand())
	mustSeal(t, s, secret, bound)
	s.Use(1<<20 - 2)
	mustSeal(t, s, secret, bound)
	if keys.generated != 1 {
		t.Errorf("%d data keys after 2^20 uses, want 1", keys.generated)
	}
	mustSeal(t, s, secret, bound)
	if keys.generated != 2 {
		t.Errorf("%d data keys after one more, want 2", keys.generated)
	}
}

func TestOpeningAsksForADataKeyOnceAndKeepsTheLastThousand(t *testing.T) {
	keys, h := newKeeper(), newHand()
	writer := seal.New(keys, h)
	var envelopes [][]byte
	for range 1001 {
		envelopes = append(envelopes, mustSeal(t, writer, secret, bound))
		h.t = h.t.Add(time.Hour)
	}
	reader := seal.New(keys, h)
	open := func(i, want int) {
		t.Helper()
		if got, err := reader.Open(t.Context(), envelopes[i], bound); err != nil || !bytes.Equal(got, secret) {
			t.Fatalf("envelope %d: got %q and error %v", i, got, err)
		}
		if keys.unwrapped != want {
			t.Errorf("envelope %d: %d keys unwrapped, want %d", i, keys.unwrapped, want)
		}
	}
	for i := range 1000 {
		open(i, i+1)
	}
	open(0, 1000)    // kept, and now the last used
	open(1000, 1001) // the 1,001st drops the least recently used, which is 1
	open(0, 1001)
	open(1, 1002)
	// What it sealed itself it opens without asking.
	before := keys.unwrapped
	if _, err := writer.Open(t.Context(), envelopes[1000], bound); err != nil || keys.unwrapped != before {
		t.Errorf("error %v and %d keys unwrapped, want none", err, keys.unwrapped-before)
	}
}

func TestTroubleWithTheKeyIsAnOutageAndShowsNothing(t *testing.T) {
	keys := newKeeper()
	sealed := mustSeal(t, seal.New(keys, newHand()), secret, bound)
	keys.down = fault.New(fault.Unavailable, "key_unavailable", "down")
	s := seal.New(keys, newHand())
	_, sealErr := s.Seal(t.Context(), secret, bound)
	_, openErr := s.Open(t.Context(), sealed, bound)
	keys.down, keys.short = nil, true
	_, shortErr := s.Seal(t.Context(), secret, bound)
	for name, err := range map[string]error{"Seal": sealErr, "Open": openErr, "a short key": shortErr} {
		if !errors.Is(err, fault.Unavailable) {
			t.Errorf("%s: error is %v, want fault.Unavailable", name, err)
		} else if strings.Contains(err.Error(), string(secret)) {
			t.Errorf("%s: error %q shows the secret", name, err)
		}
	}
}

func TestMisuseIsRefused(t *testing.T) {
	s := seal.New(newKeeper(), newHand())
	if _, err := s.Seal(t.Context(), secret, nil); err == nil || errors.Is(err, fault.Unavailable) {
		t.Errorf("sealed for no record: error is %v, want a plain one", err)
	}
	if _, err := s.Seal(t.Context(), make([]byte, seal.Longest+1), bound); err == nil || errors.Is(err, fault.Unavailable) {
		t.Errorf("sealed too much: error is %v, want a plain one", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	s.Take(func() {
		if _, err := s.Seal(gone, secret, bound); !errors.Is(err, fault.Unavailable) {
			t.Errorf("sealing with a context that ended: error is %v, want fault.Unavailable", err)
		}
	})
}

func TestManySealAndOpenAtOnce(t *testing.T) {
	keys := newKeeper()
	s := seal.New(keys, newHand())
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			bound := fmt.Appendf(nil, "sub_%d", i)
			sealed, err := s.Seal(t.Context(), secret, bound)
			if err != nil {
				t.Errorf("Seal: %v", err)
				return
			}
			if got, err := s.Open(t.Context(), sealed, bound); err != nil || !bytes.Equal(got, secret) {
				t.Errorf("got %q and error %v, want what was sealed", got, err)
			}
		})
	}
	all.Wait()
	if keys.generated != 1 || keys.unwrapped != 0 {
		t.Errorf("%d data keys and %d unwrapped, want 1 and 0", keys.generated, keys.unwrapped)
	}
}

func FuzzOnlyWhatWasSealedOpens(f *testing.F) {
	keys := newKeeper()
	s := seal.New(keys, newHand())
	genuine := mustSeal(f, s, secret, bound)
	f.Add(genuine, bound)
	f.Add(genuine[:20], bound)
	f.Add(genuine, []byte("sub_2"))
	f.Add([]byte{}, []byte{})
	f.Add([]byte{1, 0xff, 0xff}, bound)
	f.Add([]byte{1, 0, 0}, bound)
	f.Fuzz(func(t *testing.T, sealed, to []byte) {
		got, err := s.Open(t.Context(), sealed, to)
		if bytes.Equal(sealed, genuine) && bytes.Equal(to, bound) {
			if err != nil || !bytes.Equal(got, secret) {
				t.Errorf("the genuine envelope gives %q and error %v", got, err)
			}
			return
		}
		if !errors.Is(err, seal.ErrBroken) || got != nil {
			t.Errorf("opened %x, bound to %x, with error %v", sealed, to, err)
		}
	})
}
