Feature: Metrics
  The HOME set and nothing else, each counter once an event.

  Background:
    Given a daemon with
      | pools[0].slots=1    |
      | queue.interactive=1 |

  @ORCH-MET-1 @ORCH-MET-3 @HOME-MET-1
  Scenario: The names
    Given I submit an interactive task "a" of 2 tokens
    And "a" ends with "length"
    And I submit an endless interactive task "r"
    And "r" is running
    And I submit an interactive task "waits" of 2 tokens
    And I POST "/v1/tasks" with the body
      """
      {"prompt": "x"}
      """
    And the status is 429
    Then the metrics are these and no other
      | queue_depth          | always                |
      | tasks_enqueued_total | always                |
      | tasks_rejected_total | always                |
      | tokens_in_total      | always                |
      | tokens_out_total     | always                |
      | gpu_utilization      | where there is a card |
      | vram_used_bytes      | where there is a card |
      | model_state          | once a state is told  |

  @ORCH-MET-2
  Scenario: A task that ends well
    Given I note the metrics
    When I submit a batch task "a" of 5 tokens
    And "a" ends with "length"
    Then the counters have moved by exactly
      | tasks_enqueued_total | priority=batch, pool_id=default, engine=llamacpp, replica_id= | 1              |
      | tokens_in_total      | pool_id=default, engine=llamacpp                              | tokens_in of a |
      | tokens_out_total     | pool_id=default, engine=llamacpp                              | 5              |

  @ORCH-MET-2
  Scenario: A task that is refused, and the depth of the queue
    Given I submit an endless interactive task "r"
    And "r" is running
    And I submit an interactive task "waits" of 2 tokens
    And I note the metrics
    Then the gauge "queue_depth" with "priority=interactive" is 1
    And the gauge "queue_depth" with "priority=batch" is 0
    When I POST "/v1/tasks" with the body
      """
      {"prompt": "x"}
      """
    Then the status is 429
    And the counters have moved by exactly
      | tasks_rejected_total | reason=ADMISSION_REJECT, engine=llamacpp | 1 |
    And the gauge "queue_depth" with "priority=interactive" is 1

  @ORCH-MET-2
  Scenario: A task that is canceled is one task, too
    Given I note the metrics
    And I submit an endless interactive task "a"
    And "a" is running
    When I cancel "a"
    And "a" ends with "canceled"
    And nothing runs or waits
    Then the counter "tasks_enqueued_total" has moved by 1
    And the counter "tasks_rejected_total" has moved by 0

  @ORCH-MET-2
  Scenario: What changes nothing is not counted
    Given I submit an interactive task "a" of 2 tokens
    And "a" ends with "length"
    And I note the metrics
    When I cancel "a"
    And I GET the stream of "a"
    And I GET "/health"
    And I GET "/metrics"
    Then the counters have not moved
