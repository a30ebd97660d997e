//! Rows: listening, clients, users and TLS.

macro_rules! network {
    ($next:ident $($later:ident)*; $($seen:tt)*) => { $next! { $($later)*; $($seen)* group "Network" {
        /// The TCP port; 0 is none.
        port: Num = int("port", 0, 65535, "6379").hook(Hook::Port);
        /// The addresses to listen on. `*` is all of IPv4, `::*` all of IPv6; one with a `-` in front may be missing.
        bind: Bind = special("bind", "* -::*").hook(Hook::Bind);
        /// The address outgoing connections start from.
        bind_source_addr: Text = unset("bind-source-addr").waits();
        /// With the default user's password unset, serve only clients of this machine.
        protected_mode: Flag = flag("protected-mode", "yes");
        /// How many connections may wait to be accepted.
        tcp_backlog: Num = int("tcp-backlog", 0, INT, "511").immutable();
        /// The path of a Unix socket; empty is none.
        unixsocket: Text = unset("unixsocket").immutable();
        /// The permissions of the Unix socket, in octal; 0 leaves what the system gives.
        unixsocketperm: Num = octal("unixsocketperm", 0, 0o777, "0").immutable();
        /// Close a client idle for so many seconds; 0 is never.
        timeout: Num = int("timeout", 0, INT, "0");
        /// Seconds between TCP keepalive probes; 0 sends none.
        tcp_keepalive: Num = int("tcp-keepalive", 0, INT, "300");
        /// A mark for the listening sockets, for packet filters.
        socket_mark_id: Num = int("socket-mark-id", 0, UINT, "0").immutable().off_only("sockets are not marked");
        /// Connections accepted in one turn of a loop.
        max_new_connections_per_cycle: Num = int("max-new-connections-per-cycle", 1, 1000, "10").waits();
        /// The same for TLS, where each costs a handshake.
        max_new_tls_connections_per_cycle: Num = int("max-new-tls-connections-per-cycle", 1, 1000, "1").waits();
    } group "Clients" {
        /// The most clients at once; the next gets an error.
        maxclients: Num = int("maxclients", 1, UINT, "10000").hook(Hook::Maxclients);
        /// Close a client whose unread requests take more than this.
        client_query_buffer_limit: Num = memory("client-query-buffer-limit", 1 << 20, LONG, "1gb");
        /// Close a client whose waiting replies take more than the hard limit, or more than the soft one for some
        /// seconds: class, hard, soft, seconds. Classes are normal, replica and pubsub; 0 is no limit.
        client_output_buffer_limit: OutputLimits =
            special("client-output-buffer-limit", "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60");
        /// The longest argument of a command.
        proto_max_bulk_len: Num = memory("proto-max-bulk-len", 1 << 20, LONG, "512mb");
        /// The protocol a new connection speaks, 2 or 3.
        client_default_resp: Num = int("client-default-resp", 2, 3, "2").immutable().hidden();
        /// How many keys are remembered for clients that cache; beyond it some are told to forget. 0 is no limit.
        tracking_table_max_keys: Num = int("tracking-table-max-keys", 0, LONG, "1000000");
    } group "Users" {
        /// The password of the default user; empty lets everybody in.
        requirepass: Text = unset("requirepass").sensitive().hook(Hook::Requirepass);
        /// The channels a new user starts with: allchannels or resetchannels.
        acl_pubsub_default: Choice<AclPubsubDefault> = choice("acl-pubsub-default", "resetchannels");
        /// A file of users, one `user` line each, instead of such lines here (ACL LOAD, ACL SAVE).
        aclfile: Text = text("aclfile", "").immutable();
        /// How many denials ACL LOG keeps.
        acllog_max_len: Num = int("acllog-max-len", 0, LONG, "128");
    } group "TLS" {
        /// The TLS port; 0 is none.
        tls_port: Num = int("tls-port", 0, 65535, "0").off_only("TLS is not there yet");
        /// The server's certificate, PEM.
        tls_cert_file: Text = unset("tls-cert-file").volatile().waits();
        /// Its private key, PEM.
        tls_key_file: Text = unset("tls-key-file").volatile().waits();
        /// The passphrase of that key.
        tls_key_file_pass: Text = unset("tls-key-file-pass").sensitive().waits();
        /// The certificate for outgoing connections, when it is another.
        tls_client_cert_file: Text = unset("tls-client-cert-file").volatile().waits();
        /// Its private key.
        tls_client_key_file: Text = unset("tls-client-key-file").volatile().waits();
        /// The passphrase of that key.
        tls_client_key_file_pass: Text = unset("tls-client-key-file-pass").sensitive().waits();
        /// Diffie-Hellman parameters, for old clients.
        tls_dh_params_file: Text = unset("tls-dh-params-file").volatile().waits();
        /// Certificates of the authorities that may sign clients and peers.
        tls_ca_cert_file: Text = unset("tls-ca-cert-file").volatile().waits();
        /// The same as a directory.
        tls_ca_cert_dir: Text = unset("tls-ca-cert-dir").volatile().waits();
        /// Whether clients must show a certificate: yes, no or optional.
        tls_auth_clients: Choice<TlsAuthClients> = choice("tls-auth-clients", "yes").waits();
        /// Speak TLS to the primary.
        tls_replication: Flag = flag("tls-replication", "no").off_only("TLS is not there yet");
        /// Speak TLS on the cluster bus.
        tls_cluster: Flag = flag("tls-cluster", "no").off_only("TLS is not there yet");
        /// The protocol versions, like `"TLSv1.2 TLSv1.3"`.
        tls_protocols: Text = unset("tls-protocols").waits();
        /// Ciphers of TLS 1.2.
        tls_ciphers: Text = unset("tls-ciphers").waits();
        /// Cipher suites of TLS 1.3.
        tls_ciphersuites: Text = unset("tls-ciphersuites").waits();
        /// Choose the cipher by our order instead of the client's.
        tls_prefer_server_ciphers: Flag = flag("tls-prefer-server-ciphers", "no").waits();
        /// Let clients resume sessions.
        tls_session_caching: Flag = flag("tls-session-caching", "yes").waits();
        /// How many sessions are kept.
        tls_session_cache_size: Num = int("tls-session-cache-size", 0, INT, "20480").waits();
        /// For how many seconds.
        tls_session_cache_timeout: Num = int("tls-session-cache-timeout", 0, INT, "300").waits();
    } } };
}
