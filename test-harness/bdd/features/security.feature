Feature: Security
  One token opens everything but the one word of `/health`; only this machine can reach the daemon, and no web
  page can make a browser use it.

  Background:
    Given a daemon

  @ORCH-SEC-2
  Scenario Outline: Nothing without the token
    When I <method> "<path>" without a token
    Then the status is 401
    And it is an error envelope with the code "INVALID_PARAMS"
    And the header "www-authenticate" is "Bearer"

    Examples:
      | method | path                                                  |
      | POST   | /v1/tasks                                             |
      | GET    | /v1/tasks/6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f/stream |
      | POST   | /v1/tasks/6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f/cancel |
      | GET    | /v1/sessions/6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f     |
      | DELETE | /v1/sessions/6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f     |
      | GET    | /metrics                                              |
      | GET    | /v1/nothing                                           |

  @ORCH-SEC-2
  Scenario Outline: A wrong token is none
    When I GET "/metrics" with the header "<header>" and no other token
    Then the status is <status>

    Examples:
      | header                      | status |
      | Authorization: Bearer TOKEN | 200    |
      | Authorization: bearer TOKEN | 200    |
      | x-api-key: TOKEN            | 200    |
      | Authorization: Bearer TOKE  | 401    |
      | Authorization: Bearer       | 401    |
      | Authorization: Basic TOKEN  | 401    |
      | Authorization: TOKEN        | 401    |
      | x-api-key: TOKENS           | 401    |

  @ORCH-SEC-2
  Scenario: Anyone may ask whether it serves, and learns nothing else
    When I GET "/health" without a token
    Then the status is 200
    And the body is exactly
      """
      {"status": "ok"}
      """

  @ORCH-SEC-5
  Scenario Outline: A page of another name cannot reach it
    When I GET "/health" with the headers
      | <header> | <value> |
    Then the status is <status>

    Examples:
      | header | value                 | status |
      | Host   | localhost:6173        | 200    |
      | Host   | 127.0.0.1             | 200    |
      | Host   | [::1]:6173            | 200    |
      | Host   | evil.example          | 403    |
      | Host   | localhost.evil.example | 403   |
      | Origin | http://localhost:3000 | 200    |
      | Origin | http://evil.example   | 403    |
      | Origin | null                  | 403    |

  @ORCH-SEC-5
  Scenario: The refusal of a name says what to do, and comes before the token
    When I GET "/metrics" with the headers
      | Host          | evil.example |
      | Authorization | Bearer wrong |
    Then the status is 403
    And it is an error envelope with the code "INVALID_PARAMS"
    And the message contains "allowed_hosts"

  @ORCH-SEC-5
  Scenario: A name from the configuration is allowed
    Given a daemon with
      | allowed_hosts=workstation.lan |
    When I GET "/health" with the headers
      | Host | workstation.lan:6173 |
    Then the status is 200

  @ORCH-SEC-4
  Scenario: The token is not shown
    Given a daemon of its own with
      | log.level=trace |
    When I GET "/health"
    And I submit an interactive task "a" of 2 tokens
    And "a" ends with "length"
    Then its log does not hold the token

  @ORCH-SEC-3
  Scenario: Without a token of the user it makes one, for its user alone
    Given a daemon without a token of the environment
    Then the file ".config/llama-orch/token" of its home is for its user alone
    And the token in the file ".config/llama-orch/token" of its home opens "/metrics"

  @HOME-BIND-1
  Scenario: It listens where only this machine reaches it
    Given the configuration
      """
      pools: [{id: default}]
      """
    When I run orchestratord with "check-config --print-config"
    Then it exits with the code 0
    And its output contains "listen: 127.0.0.1:6173"

  @ORCH-SEC-1
  Scenario: Another address has to be allowed in so many words
    When I run orchestratord with "--listen 192.0.2.1:6173"
    Then it exits with the code 3
    And its error message contains "allow_non_loopback"
