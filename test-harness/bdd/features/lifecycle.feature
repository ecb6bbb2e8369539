Feature: The life of a replica
  A replica serves when it has proved that it can. One that dies is started again; one that cannot be started
  is a clear state with its reason, and the daemon goes on.

  @A-9
  Scenario: The health of a daemon that serves
    Given a daemon
    When I GET "/health"
    Then the status is 200
    And the field "status" is "ok"
    And the field "pools[0].state" is "ready"
    And the field "pools[0].replicas[0].state" is "ready"
    And the field "pools[0].replicas[0].id" is "default/0"
    And the field "pools[0].replicas[0].slots_busy" is 0
    And the field "pools[0].model.architecture" is "llama"
    And the field "pools[0].queue.interactive" is {"bound":256,"depth":0}

  @A-10
  Scenario: A worker that dies is started again, and the queue goes on
    Given a daemon of its own with
      | worker.restart.min_ms=100 |
      | pools[0].slots=1          |
    And I submit an endless interactive task "r"
    And "r" is running
    And I submit an interactive task "waits" of 6 tokens
    And its workers are noted
    When a worker gets the signal KILL
    Then another worker serves
    And "waits" ends with "length"
    And "waits" has 6 tokens

  Scenario: A model whose file is cut off
    Given a daemon with half of the model's file
    When I GET "/health"
    Then the status is 503
    And the field "status" is "unavailable"
    And the field "pools[0].replicas[0].reason" contains "half.gguf"
    When I POST "/v1/tasks" with the body
      """
      {"prompt": "x"}
      """
    Then the status is 503
    And it is an error envelope with the code "POOL_UNAVAILABLE"
    And a wait of 1 to 60 s is told in the headers and in the body

  Scenario: A model that is not there
    Given a daemon with the model "file:/no/such/model.gguf"
    And the daemon's health becomes "unavailable"
    When I POST "/v1/tasks" with the body
      """
      {"prompt": "x"}
      """
    Then the status is 503
    And it is an error envelope with the code "POOL_UNAVAILABLE"
    And the message contains "/no/such/model.gguf"
    When I GET "/health" without a token
    Then the body is exactly
      """
      {"status": "unavailable"}
      """
