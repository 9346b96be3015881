package secret

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"grantline/shared/clock"
	"grantline/shared/fault"
)

const (
	keep     = 5 * time.Minute  // how long a value is not asked for again
	pause    = 30 * time.Second // between two fetches, whoever wants a fresh value
	stale    = 24 * time.Hour   // how long the last value serves while the service fails
	patience = 5 * time.Second  // for one fetch, its repeats included
	largest  = 64 << 10         // bytes of a value (AWS Secrets Manager quotas)
)

// Vault fetches and keeps the secrets of one process. It is safe for use by many
// goroutines.
type Vault struct {
	config   func(context.Context) (aws.Config, error)
	clock    clock.Clock
	log      *slog.Logger
	patience time.Duration

	mu   sync.Mutex
	kept map[place]*kept
}

// NewVault makes a Vault. config is called when the first secret is fetched, not before.
func NewVault(config func(context.Context) (aws.Config, error), c clock.Clock, log *slog.Logger) *Vault {
	return &Vault{config: config, clock: c, log: log, patience: patience, kept: map[place]*kept{}}
}

// Open returns the way to the value of r. Nothing is fetched yet. The value is without
// the line break that an editor left at its end.
//
// fresh asks for a value fetched just now, because the other side refused the one before;
// a secret is fetched at most each 30 s all the same, since what makes a caller ask may be
// an attacker's bad key. While the service fails, the last value serves for 24 h.
// Errors: fault.Unavailable.
func (v *Vault) Open(r Reference) func(ctx context.Context, fresh bool) (string, error) {
	if !r.Given() {
		return func(context.Context, bool) (string, error) {
			return "", unavailable(r, errors.New("it was not configured"))
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	k, ok := v.kept[*r.to]
	if !ok {
		k = &kept{vault: v, ref: r, turn: make(chan struct{}, 1)}
		v.kept[*r.to] = k
	}
	return k.get
}

// kept is one secret and what is known of its value.
type kept struct {
	vault *Vault
	ref   Reference
	turn  chan struct{} // held by the one that fetches

	mu      sync.Mutex // guards what follows
	have    bool
	value   string
	fetched time.Time // when value was
	tried   time.Time // when a fetch last ended, either way
	tries   int       // how many have
	err     error     // of the last one
}

func (k *kept) get(ctx context.Context, fresh bool) (string, error) {
	k.mu.Lock()
	seen := k.tries
	value, enough := k.enough(fresh)
	k.mu.Unlock()
	if enough {
		return value, nil
	}
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return "", unavailable(k.ref, ctx.Err())
	}
	k.mu.Lock()
	waited := k.tries != seen
	k.mu.Unlock()
	if !waited {
		k.fetch(ctx)
	}
	return k.last(ctx)
}

// enough returns the value if no fetch is called for.
func (k *kept) enough(fresh bool) (string, bool) {
	now := k.vault.clock.Now()
	if !k.have || now.Sub(k.fetched) >= stale {
		return "", false
	}
	within := func(since time.Time, d time.Duration) bool {
		age := now.Sub(since)
		return age >= 0 && age < d
	}
	if !fresh && within(k.fetched, keep) {
		return k.value, true
	}
	return k.value, within(k.tried, pause)
}

// fetch asks for the value once and notes what came of it. One that ended with its
// caller says nothing of the service and is not noted: the next in turn tries itself.
func (k *kept) fetch(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, k.vault.patience)
	defer cancel()
	value, err := k.vault.fetch(bounded, *k.ref.to)
	value = strings.TrimRight(value, "\r\n")
	switch {
	case err != nil && ctx.Err() != nil:
		return
	case err == nil && value == "":
		err = errors.New("it is empty")
	case err == nil && len(value) > largest:
		err = errors.New("it is too large")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tries++
	k.tried = k.vault.clock.Now()
	k.err = err
	if err == nil {
		k.have, k.value, k.fetched = true, value, k.tried
		return
	}
	if k.have {
		k.vault.log.WarnContext(ctx, "A secret could not be fetched; its last value serves for at most a day.",
			"secret", k.ref, "age", k.tried.Sub(k.fetched).String(), "error", err.Error())
	}
}

// last returns the last value, as long as it serves.
func (k *kept) last(ctx context.Context) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.have && k.vault.clock.Now().Sub(k.fetched) < stale {
		return k.value, nil
	}
	if k.err != nil {
		return "", unavailable(k.ref, k.err)
	}
	return "", unavailable(k.ref, ctx.Err())
}

// fetch asks where the secret is kept.
func (v *Vault) fetch(ctx context.Context, p place) (string, error) {
	if p.service != secretsManager && p.service != parameterStore {
		return fetchHere(ctx, p)
	}
	config, err := v.config(ctx)
	if err != nil {
		return "", fmt.Errorf("AWS configuration: %w", err)
	}
	if p.region != "" {
		config.Region = p.region
	}
	if p.service == secretsManager {
		out, err := secretsmanager.NewFromConfig(config).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &p.id})
		if err != nil {
			return "", err
		}
		return aws.ToString(out.SecretString), nil
	}
	out, err := ssm.NewFromConfig(config).GetParameter(ctx, &ssm.GetParameterInput{Name: &p.id, WithDecryption: aws.Bool(true)})
	if err != nil {
		return "", err
	}
	if out.Parameter == nil {
		return "", nil
	}
	return aws.ToString(out.Parameter.Value), nil
}

// unavailable is an outage whoever is to blame for it: nothing is known to be false.
func unavailable(r Reference, cause error) error {
	return fault.New(fault.Unavailable, "secret_unavailable", "A secret that is needed cannot be had now.").Because(fmt.Errorf("%s: %w", r, cause))
}
