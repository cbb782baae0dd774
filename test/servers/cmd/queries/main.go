// Command queries is an application as others write it: it asks PostgreSQL ten times a second, logs in with what a
// file says, reads that file again on SIGHUP, and counts. It knows nothing of Vault.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: queries FILE (user:password@host:port/database)")
		os.Exit(2)
	}
	var asked, failed, reloads, users atomic.Int64
	var last atomic.Value
	login := read(os.Args[1])
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	http.HandleFunc("/", func(response http.ResponseWriter, _ *http.Request) {
		message, _ := last.Load().(string)
		fmt.Fprintf(response, `{"asked":%d,"failed":%d,"reloads":%d,"users":%d,"last":%q}`+"\n",
			asked.Load(), failed.Load(), reloads.Load(), users.Load(), message)
	})
	go func() {
		fmt.Fprintln(os.Stderr, http.ListenAndServe(":8000", nil))
		os.Exit(1)
	}()
	seen := map[string]bool{}
	for tick := time.Tick(100 * time.Millisecond); ; {
		select {
		case <-ended:
			return
		case <-reload:
			login = read(os.Args[1])
			reloads.Add(1)
		case <-tick:
			asked.Add(1)
			user, err := ask(login)
			if err != nil {
				failed.Add(1)
				last.Store(err.Error())
			} else if !seen[user] {
				seen[user] = true
				users.Add(1)
			}
		}
	}
}

// ask logs in anew: a connection that is open already outlives its password.
func ask(login string) (user string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	connection, err := pgx.Connect(ctx, "postgres://"+login)
	if err != nil {
		return "", err
	}
	defer connection.Close(ctx)
	err = connection.QueryRow(ctx, "select current_user").Scan(&user)
	return user, err
}

func read(path string) string {
	bytes, err := os.ReadFile(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return strings.TrimSpace(string(bytes))
}
