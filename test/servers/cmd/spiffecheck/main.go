// Command spiffecheck uses a Workload API as programs with go-spiffe do, and prints what it saw as JSON, a report a
// line. With -rotation it then waits until the X.509-SVID and the JWT keys have changed, and reports once more.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// report is what one look at the Workload API gave.
type report struct {
	// Identities holds SPIFFE ID and hint of every X.509-SVID, in their order.
	Identities [][2]string `json:"identities"`
	X509       x509Report  `json:"x509"`
	JWT        jwtReport   `json:"jwt"`
	// X509Bundles holds the SHA-256 fingerprints of the authorities by trust domain.
	X509Bundles map[string][]string `json:"x509Bundles"`
	// JWTBundles holds the key IDs by trust domain, sorted.
	JWTBundles map[string][]string `json:"jwtBundles"`
}

type x509Report struct {
	Serial string `json:"serial"`
	// Verified is the SPIFFE ID that the bundle of the source vouches for.
	Verified string `json:"verified"`
	// Peer is who answered a TLS client, where both sides present the SVID and verify the other's.
	Peer string `json:"peer"`
}

type jwtReport struct {
	ID       string   `json:"id"`
	Audience []string `json:"audience"`
	// ValidLocally and ValidByAPI are the SPIFFE IDs that the two ways of validation gave.
	ValidLocally string `json:"validLocally"`
	ValidByAPI   string `json:"validByApi"`
	// RefusedLocally and RefusedByAPI say why the token is not good for another audience.
	RefusedLocally string `json:"refusedLocally"`
	RefusedByAPI   string `json:"refusedByApi"`
}

func main() {
	address := flag.String("address", "", "address of the Workload API, unix:///path or tcp://ip:port")
	audience := flag.String("audience", "vault", "audience of the JWT-SVID")
	rotation := flag.Bool("rotation", false, "wait for new X.509-SVIDs and JWT keys, and report again")
	timeout := flag.Duration("timeout", 30*time.Second, "give up after this time")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	err := run(ctx, *address, *audience, *rotation)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "spiffecheck:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address, audience string, rotation bool) error {
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(address))
	if err != nil {
		return err
	}
	defer client.Close()
	// The sources try again whatever the API says, so what it refuses shows here.
	if _, err := client.FetchX509SVID(ctx); err != nil {
		return err
	}
	x509Source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClient(client))
	if err != nil {
		return err
	}
	defer x509Source.Close()
	jwtSource, err := workloadapi.NewJWTSource(ctx, workloadapi.WithClient(client))
	if err != nil {
		return err
	}
	defer jwtSource.Close()

	c := &check{client: client, x509: x509Source, jwt: jwtSource, audience: audience}
	before, err := c.current()
	if err != nil {
		return err
	}
	if err := c.print(ctx); err != nil || !rotation {
		return err
	}
	if err := c.waitForRotation(ctx, before); err != nil {
		return fmt.Errorf("no rotation: %w", err)
	}
	return c.print(ctx)
}

type check struct {
	client   *workloadapi.Client
	x509     *workloadapi.X509Source
	jwt      *workloadapi.JWTSource
	audience string
}

// state is what rotates.
type state struct {
	svid *x509svid.SVID
	keys *jwtbundle.Bundle
}

func (c *check) current() (state, error) {
	svid, err := c.x509.GetX509SVID()
	if err != nil {
		return state{}, err
	}
	keys, err := c.jwt.GetJWTBundleForTrustDomain(svid.ID.TrustDomain())
	if err != nil {
		return state{}, err
	}
	return state{svid: svid, keys: keys.Clone()}, nil
}

// waitForRotation waits for updates of both sources; one that repeats what was known does not count.
func (c *check) waitForRotation(ctx context.Context, before state) error {
	for {
		now, err := c.current()
		if err != nil {
			return err
		}
		sameSVID := now.svid.Certificates[0].Equal(before.svid.Certificates[0])
		sameKeys := now.keys.Equal(before.keys)
		switch {
		case sameSVID:
			err = c.x509.WaitUntilUpdated(ctx)
		case sameKeys:
			err = c.jwt.WaitUntilUpdated(ctx)
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *check) print(ctx context.Context) error {
	var r report
	for _, fill := range []func(context.Context, *report) error{c.identities, c.x509SVID, c.jwtSVID, c.bundles} {
		if err := fill(ctx, &r); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func (c *check) identities(ctx context.Context, r *report) error {
	svids, err := c.client.FetchX509SVIDs(ctx)
	for _, svid := range svids {
		r.Identities = append(r.Identities, [2]string{svid.ID.String(), svid.Hint})
	}
	return err
}

func (c *check) x509SVID(ctx context.Context, r *report) error {
	svid, err := c.x509.GetX509SVID()
	if err != nil {
		return err
	}
	id, _, err := x509svid.Verify(svid.Certificates, c.x509)
	if err != nil {
		return err
	}
	peer, err := c.handshake(ctx)
	if err != nil {
		return fmt.Errorf("mutual TLS: %w", err)
	}
	serial := svid.Certificates[0].SerialNumber.Text(16)
	r.X509 = x509Report{Serial: serial, Verified: id.String(), Peer: peer}
	return nil
}

// handshake lets a TLS client and a server meet that both have the X.509-SVID, and tells whom the client met.
func (c *check) handshake(ctx context.Context) (string, error) {
	near, far := net.Pipe()
	defer near.Close()
	server := tls.Server(far, tlsconfig.MTLSServerConfig(c.x509, c.x509, tlsconfig.AuthorizeAny()))
	served := make(chan error, 1)
	go func() {
		err := server.HandshakeContext(ctx)
		server.Close()
		served <- err
	}()
	client := tls.Client(near, tlsconfig.MTLSClientConfig(c.x509, c.x509, tlsconfig.AuthorizeAny()))
	if err := client.HandshakeContext(ctx); err != nil {
		return "", err
	}
	// Only the end of the stream says that the server is content with the client's certificate.
	if _, err := io.ReadAll(client); err != nil {
		return "", err
	}
	if err := <-served; err != nil {
		return "", err
	}
	id, err := x509svid.IDFromCert(client.ConnectionState().PeerCertificates[0])
	return id.String(), err
}

func (c *check) jwtSVID(ctx context.Context, r *report) error {
	svid, err := c.jwt.FetchJWTSVID(ctx, jwtsvid.Params{Audience: c.audience})
	if err != nil {
		return err
	}
	token, other := svid.Marshal(), "not-"+c.audience
	local, err := jwtsvid.ParseAndValidate(token, c.jwt, []string{c.audience})
	if err != nil {
		return err
	}
	byAPI, err := c.client.ValidateJWTSVID(ctx, token, c.audience)
	if err != nil {
		return err
	}
	_, refusedLocally := jwtsvid.ParseAndValidate(token, c.jwt, []string{other})
	_, refusedByAPI := c.client.ValidateJWTSVID(ctx, token, other)
	if refusedLocally == nil || refusedByAPI == nil {
		return errors.New("a JWT-SVID is good for an audience that it does not name")
	}
	r.JWT = jwtReport{
		ID:             svid.ID.String(),
		Audience:       svid.Audience,
		ValidLocally:   local.ID.String(),
		ValidByAPI:     byAPI.ID.String(),
		RefusedLocally: refusedLocally.Error(),
		RefusedByAPI:   refusedByAPI.Error(),
	}
	return nil
}

func (c *check) bundles(ctx context.Context, r *report) error {
	x509Bundles, err := c.client.FetchX509Bundles(ctx)
	if err != nil {
		return err
	}
	r.X509Bundles = map[string][]string{}
	for _, bundle := range x509Bundles.Bundles() {
		fingerprints := []string{}
		for _, authority := range bundle.X509Authorities() {
			sum := sha256.Sum256(authority.Raw)
			fingerprints = append(fingerprints, hex.EncodeToString(sum[:]))
		}
		r.X509Bundles[bundle.TrustDomain().Name()] = fingerprints
	}
	jwtBundles, err := c.client.FetchJWTBundles(ctx)
	if err != nil {
		return err
	}
	r.JWTBundles = map[string][]string{}
	for _, bundle := range jwtBundles.Bundles() {
		keyIDs := []string{}
		for keyID := range bundle.JWTAuthorities() {
			keyIDs = append(keyIDs, keyID)
		}
		slices.Sort(keyIDs)
		r.JWTBundles[bundle.TrustDomain().Name()] = keyIDs
	}
	return nil
}
